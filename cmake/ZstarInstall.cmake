# The package `zstar`: headers, zstar_add_plugin(), the program. From an installation, or from this build folder.
include(CMakePackageConfigHelpers)

# All that an experiment needs: the program and every plugin.
add_custom_target(program DEPENDS zstar)
get_property(plugins GLOBAL PROPERTY ZSTAR_PLUGINS)
if(plugins)
  add_dependencies(program ${plugins})
endif()

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/zstar)
install(DIRECTORY sdk/include/zstar DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/generated/zstar/abi_hash.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/zstar)
install(FILES cmake/ZstarTorch.cmake cmake/ZstarPlugin.cmake cmake/plugin.map DESTINATION ${config_folder})

# Two configurations of one template: where headers, program and CMake files lie differs.
set(ZSTAR_CONFIG_INCLUDES "\${CMAKE_CURRENT_LIST_DIR}/../../../${CMAKE_INSTALL_INCLUDEDIR}")
set(ZSTAR_CONFIG_PROGRAM "\${CMAKE_CURRENT_LIST_DIR}/../../../${CMAKE_INSTALL_BINDIR}/zstar")
set(ZSTAR_CONFIG_TESTING "\${CMAKE_CURRENT_LIST_DIR}/../../libzstar-testing.so")
set(ZSTAR_CONFIG_PLUGINS "\${CMAKE_CURRENT_LIST_DIR}/../../zstar/plugins")
set(ZSTAR_CONFIG_MODULES "\${CMAKE_CURRENT_LIST_DIR}")
configure_file(cmake/zstarConfig.cmake.in ${CMAKE_BINARY_DIR}/install/zstarConfig.cmake @ONLY)
set(ZSTAR_CONFIG_INCLUDES "${PROJECT_SOURCE_DIR}/sdk/include;${CMAKE_BINARY_DIR}/generated")
set(ZSTAR_CONFIG_PROGRAM "${CMAKE_BINARY_DIR}/bin/zstar")
set(ZSTAR_CONFIG_TESTING "${CMAKE_BINARY_DIR}/core/testing/libzstar-testing.so")
set(ZSTAR_CONFIG_PLUGINS "${ZSTAR_PLUGIN_FOLDER}")
set(ZSTAR_CONFIG_MODULES "${PROJECT_SOURCE_DIR}/cmake")
configure_file(cmake/zstarConfig.cmake.in ${CMAKE_BINARY_DIR}/zstarConfig.cmake @ONLY)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/zstarConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/install/zstarConfig.cmake ${CMAKE_BINARY_DIR}/zstarConfigVersion.cmake DESTINATION ${config_folder})
