# DCC_BUNDLE: programs that want nothing of the machine on which they run but a kernel (dcc) or glibc 2.34 (dcc-run, which loads
# shared objects).  LLVM_LINK becomes LLVM's archives; bundle_programs() adds lld and what shared objects are linked with, in the
# folder dcc-link beside libdcc.a.
enable_language(CXX)

foreach(library z zstd tinfo protobuf-c)
  find_library(STATIC_${library} lib${library}.a REQUIRED)
endforeach()
find_library(LLD_ELF lldELF PATHS /usr/lib/llvm-19/lib REQUIRED)
set(PROTOBUF_C_LIBRARY ${STATIC_protobuf-c})

# Of LLVM's archives the linker takes what is used.  Polly is optional in them: see bundle/lld.cpp.
llvm_config(LLVM_LINK --link-static --ldflags --libs core native orcjit passes lto option symbolize)
list(FILTER LLVM_LINK EXCLUDE REGEX "Polly")
list(APPEND LLVM_LINK ${STATIC_zstd} ${STATIC_z} ${STATIC_tinfo})

function(bundle_programs)
  add_library(lld OBJECT bundle/lld.cpp)
  target_include_directories(lld SYSTEM PRIVATE ${LLVM_INCLUDE})
  target_compile_options(lld PRIVATE -std=c++17 -fno-exceptions -fno-rtti ${WARNINGS})
  get_filename_component(folder ${LLD_ELF} DIRECTORY)
  target_link_libraries(dcc PRIVATE lld ${LLD_ELF} ${folder}/liblldCommon.a)
  foreach(program dcc dcc-run)
    set_target_properties(${program} PROPERTIES LINKER_LANGUAGE CXX)
    target_link_options(${program} PRIVATE -Wl,--gc-sections)
  endforeach()
  # Nothing of dcc calls what ld warns of: functions of LLVM that look for users and load libraries.
  target_link_options(dcc PRIVATE -static-pie -Wl,--no-warnings)
  target_sources(dcc-run PRIVATE bundle/random.c)
  # What a model in a shared object may leave to it; all names would keep all of LLVM.
  set_target_properties(dcc-run PROPERTIES ENABLE_EXPORTS OFF)
  target_link_options(dcc-run PRIVATE -static-libstdc++ "-Wl,--export-dynamic-symbol=dcc_*")

  set(link_folder ${CMAKE_BINARY_DIR}/dcc-link)
  set(installed ${CMAKE_INSTALL_LIBDIR}/dcc-link)
  add_library(start STATIC bundle/start.c)
  target_compile_options(start PRIVATE ${WARNINGS})
  set_target_properties(start PROPERTIES ARCHIVE_OUTPUT_DIRECTORY ${link_folder})
  install(TARGETS start ARCHIVE DESTINATION ${installed} COMPONENT tool)
  set(map ${CMAKE_SOURCE_DIR}/bundle/versions.map)
  foreach(library libc.so.6 libpthread.so.0)
    string(REGEX REPLACE "^lib(.*)\\.so.*" "\\1" name ${library})
    add_library(stub_${name} SHARED bundle/lib${name}.c)
    target_compile_options(stub_${name} PRIVATE ${WARNINGS})
    set_target_properties(stub_${name} PROPERTIES OUTPUT_NAME ${name} NO_SONAME ON LINK_DEPENDS ${map}
      LIBRARY_OUTPUT_DIRECTORY ${link_folder})
    target_link_options(stub_${name} PRIVATE -nostdlib -Wl,-soname=${library},--version-script=${map})
    install(TARGETS stub_${name} LIBRARY DESTINATION ${installed} COMPONENT tool)
  endforeach()

  # Whose code is inside, and under which terms.
  string(REGEX MATCH "^[0-9]+" gcc "${CMAKE_CXX_COMPILER_VERSION}")
  foreach(package llvm-19-dev libprotobuf-c-dev zlib1g-dev libzstd-dev libncurses-dev libstdc++-${gcc}-dev libc6-dev)
    set(copyright /usr/share/doc/${package}/copyright)
    if(NOT EXISTS ${copyright})
      message(FATAL_ERROR "${copyright} is missing: a bundle carries the licences of what is inside")
    endif()
    install(FILES ${copyright} DESTINATION ${CMAKE_INSTALL_DOCDIR}/licences RENAME ${package} COMPONENT tool)
  endforeach()
endfunction()
