# dcc_add_model(TARGET MODEL [NAME name] [WEIGHTS file] [OPTIONS option...] [DEPENDS file...])
#
# A static library TARGET with the compiled MODEL (.onnx or .ir, relative to the current source folder).  What links to
# it may include NAME.h and gets dcc::dcc.  The model is compiled again when it, dcc or a file of DEPENDS changes.
#   NAME     prefix of the C symbols and name of the header; default: TARGET as a C identifier
#   WEIGHTS  weights go to this file (relative to the current binary folder) instead of the library
#   OPTIONS  for dcc: -march=avx2 -D seq=1..512 ...
#   DEPENDS  files that the model refers to, such as external data
function(dcc_add_model target model)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "NAME;WEIGHTS" "OPTIONS;DEPENDS")
  if(DEFINED arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "dcc_add_model(${target}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT TARGET dcc::compiler)
    message(FATAL_ERROR "dcc_add_model(${target}): only the library of dcc is installed here, not the program (Debian package dcc)")
  endif()
  if(NOT DEFINED arg_NAME)
    string(MAKE_C_IDENTIFIER "${target}" arg_NAME)
  endif()
  get_filename_component(model "${model}" ABSOLUTE)
  set(depends)
  foreach(file IN LISTS arg_DEPENDS)
    get_filename_component(file "${file}" ABSOLUTE)
    list(APPEND depends "${file}")
  endforeach()

  set(folder "${CMAKE_CURRENT_BINARY_DIR}/dcc/${target}")
  set(object "${folder}/${arg_NAME}.o")
  set(header "${folder}/${arg_NAME}.h")
  set(outputs "${object}" "${header}")
  set(options "--name=${arg_NAME}" "--header=${header}" ${arg_OPTIONS})
  if(DEFINED arg_WEIGHTS)
    get_filename_component(weights "${arg_WEIGHTS}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
    list(APPEND outputs "${weights}")
    list(APPEND options "--weights=${weights}")
  endif()
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(OUTPUT ${outputs}
    COMMAND dcc::compiler ${options} -o "${object}" "${model}"
    DEPENDS "${model}" ${depends} dcc::compiler
    COMMENT "Compiling model ${arg_NAME}" VERBATIM)

  add_library(${target} STATIC ${outputs})
  set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("C" IN_LIST languages)
    set(language C)
  else()
    set(language CXX)
  endif()
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE ${language} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} INTERFACE "$<BUILD_INTERFACE:${folder}>")
  target_link_libraries(${target} INTERFACE dcc::dcc)
endfunction()
