# Writes HEADER with the commit of SOURCE, unless it says so already.
cmake_policy(VERSION 3.18)
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define DCC_COMMIT \"@commit@\"\n" @ONLY)
