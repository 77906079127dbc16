# Run by cpack before it makes the packages: what Debian's policy wants of their folders beside the installed files.
if(NOT CPACK_GENERATOR STREQUAL DEB)
  return()
endif()
cmake_policy(VERSION 3.18)
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
foreach(package tool:dcc dev:libdcc-dev)
  string(REGEX REPLACE ":.*" "" component ${package})
  string(REGEX REPLACE ".*:" "" name ${package})
  set(root ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component}/usr/share)
  file(READ ${CPACK_DCC_SOURCE}/LICENSE licence)
  file(WRITE ${root}/doc/${name}/copyright "${licence}")
  file(WRITE ${root}/doc/${name}/changelog.Debian "${name} (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * Packaged by cpack; changelog.gz says what is new.

 -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${date}
")
  configure_file(${CPACK_DCC_SOURCE}/CHANGELOG.md ${root}/doc/${name}/changelog COPYONLY)
  file(GLOB files ${root}/man/man1/*.1 ${root}/doc/${name}/changelog*)
  execute_process(COMMAND gzip -9n ${files} COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND chmod -R u=rwX,go=rX ${root} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
