# The dashboard, built by npm and put into the binary: the library `dashboard`, which implements
# server/api/assets.h. Nothing is defined with SIGHTLINE_WEB=OFF; the server then shows a page that says so.
#
# It is built in a copy below the build folder, so that the source tree stays clean and may be read-only, and
# builds beside each other do not meet. Needs node 18.13 or newer and npm (Debian: nodejs npm).
if(NOT SIGHTLINE_WEB)
    return()
endif()

find_program(NODE NAMES node nodejs)
find_program(NPM npm)
if(NOT NODE OR NOT NPM)
    message(FATAL_ERROR "The dashboard needs node and npm: install nodejs and npm, or configure "
                        "with -DSIGHTLINE_WEB=OFF to build the server without it")
endif()

set(web_source ${CMAKE_CURRENT_SOURCE_DIR}/web)
set(web_build ${CMAKE_BINARY_DIR}/web)
set(web_packages package.json package-lock.json .npmrc)
set(web_settings index.html vite.config.mjs tsconfig.json embed.mjs)
file(GLOB_RECURSE web_files CONFIGURE_DEPENDS ${web_source}/src/* ${web_source}/public/*)
list(TRANSFORM web_packages PREPEND ${web_source}/ OUTPUT_VARIABLE web_package_files)
list(TRANSFORM web_settings PREPEND ${web_source}/ OUTPUT_VARIABLE web_setting_files)

# Scripts of packages are not run: none of ours needs one.
add_custom_command(
    OUTPUT ${web_build}/packages.stamp
    COMMAND ${CMAKE_COMMAND} -E make_directory ${web_build}
    COMMAND ${CMAKE_COMMAND} -E copy ${web_package_files} ${web_build}
    COMMAND ${CMAKE_COMMAND} -E chdir ${web_build}
            ${NPM} ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel=error
    COMMAND ${CMAKE_COMMAND} -E touch ${web_build}/packages.stamp
    DEPENDS ${web_package_files}
    COMMENT "Fetching the dashboard's packages (npm ci)"
    VERBATIM)

add_custom_command(
    OUTPUT ${web_build}/dashboard_assets.c
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${web_build}/src ${web_build}/public ${web_build}/dist
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${web_source}/src ${web_build}/src
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${web_source}/public ${web_build}/public
    COMMAND ${CMAKE_COMMAND} -E copy ${web_setting_files} ${web_build}
    COMMAND ${CMAKE_COMMAND} -E chdir ${web_build}
            ${NODE} node_modules/vite/bin/vite.js build --logLevel warn
    COMMAND ${NODE} ${web_build}/embed.mjs ${web_build}/dist ${web_build}/dashboard_assets.c
    DEPENDS ${web_build}/packages.stamp ${web_files} ${web_setting_files}
    COMMENT "Building the dashboard"
    VERBATIM)

add_library(dashboard STATIC ${web_build}/dashboard_assets.c)
target_compile_definitions(dashboard PUBLIC SIGHTLINE_DASHBOARD)
