# SPDX-License-Identifier: BSD-2-Clause
#
# Debian packages by cpack; scripts/package makes them. Three components:
#
#   library  libscpairN  the shared library; N is its soname's number
#   dev      libscpair-dev  headers, static library, pkg-config and CMake files
#   tools    scpair      the command and all that goes with it: man page, preload library, systemd unit
#
# What is installed without a component belongs to the tools (CMAKE_INSTALL_DEFAULT_COMPONENT_NAME in
# the top file). Dependencies on libraries are found by dpkg-shlibdeps.
set(scpair_soname_number ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(scpair_library_package libscpair${scpair_soname_number})

foreach(component library dev tools)
    set(package ${scpair_library_package})
    if(component STREQUAL "dev")
        set(package libscpair-dev)
    elseif(component STREQUAL "tools")
        set(package scpair)
    endif()
    install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} RENAME copyright
        COMPONENT ${component})
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
    set(CPACK_DEBIAN_${upper}_FILE_NAME DEB-DEFAULT)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME scpair)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The scpair developers <scpair@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_COMPONENTS_ALL library dev tools)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY "=")

set(CPACK_DEBIAN_LIBRARY_DESCRIPTION
    "AIX SCSI driver pair: shared library
 The disk device driver and the adapter driver over a thin shim, assembled with a
 simulated SCSI bus, for programs that want a SCSI disk in their own process.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)

set(CPACK_DEBIAN_DEV_DESCRIPTION
    "AIX SCSI driver pair: headers and static library
 For programs on top of the pair, for head drivers of one's own, and for ports of
 the core to an operating system.")
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${scpair_library_package} (= ${PROJECT_VERSION})")

set(CPACK_DEBIAN_TOOLS_DESCRIPTION
    "AIX SCSI driver pair: the command, and a raw SCSI disk out of a FUSE mount
 Mounts disk images as SCSI disks behind an adapter, shows counters and the error
 log, injects faults, copies, verifies and measures.")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_TOOLS_PACKAGE_DEPENDS fuse3)

include(CPack)
