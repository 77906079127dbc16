# cpack: of a bundle an archive, of other builds two Debian packages (docs/install.md).
set(DCC_MAINTAINER "The dcc authors <dcc@example.org>" CACHE STRING "in the Debian packages")
set(CPACK_PACKAGE_VENDOR "the dcc authors")
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

if(DCC_BUNDLE)
  set(CPACK_GENERATOR TGZ)
  set(CPACK_PACKAGE_FILE_NAME dcc-${PROJECT_VERSION}-linux-x86_64)
  install(FILES LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tool)
else()
  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL tool dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${DCC_MAINTAINER})
set(CPACK_DEBIAN_TOOL_PACKAGE_NAME dcc)
set(CPACK_DEBIAN_TOOL_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_TOOL_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOL_PACKAGE_RECOMMENDS "libdcc-dev (= ${PROJECT_VERSION}-1), gcc | c-compiler")
set(CPACK_COMPONENT_TOOL_DESCRIPTION "ahead-of-time compiler for ONNX models
One object file and one header come of a model, for C and C++ programs; they
hold code for AVX2 and AVX-512 and the weights, and need a small library.
dcc-run runs models and objects, compares them with recorded outputs, and
profiles them.")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libdcc-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libc6-dev | libc-dev")
set(CPACK_COMPONENT_DEV_DESCRIPTION "library and headers for models that dcc compiled
The static library that programs with compiled models link, its C and C++
headers, and files for CMake and pkg-config.")
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian.cmake)
set(CPACK_DCC_SOURCE ${CMAKE_SOURCE_DIR})
include(CPack)
