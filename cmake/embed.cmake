# SPDX-License-Identifier: Apache-2.0
# gs_embed(<target> <room>/<name> <symbol> <file> [<symbol> <file> ...])
# Compiles files into a target: <name>.c and <name>.h, written to the build directory when CMake runs, hold each file's bytes as
# `const unsigned char <symbol>[]` and their number as `<symbol>_bytes`. A changed file makes CMake run again.
function(gs_embed target name)
  set(dir ${PROJECT_BINARY_DIR}/embedded)
  set(declarations "")
  set(definitions "")
  set(pairs ${ARGN})
  while(pairs)
    list(POP_FRONT pairs symbol path)
    set(path ${PROJECT_SOURCE_DIR}/${path})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    file(READ ${path} hex HEX)
    string(REGEX REPLACE "(................................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    string(APPEND declarations "extern const unsigned char ${symbol}[];\nextern const size_t ${symbol}_bytes;\n")
    string(APPEND definitions "\nconst unsigned char ${symbol}[] = {\n${hex}};\nconst size_t ${symbol}_bytes = sizeof ${symbol};\n")
  endwhile()
  file(CONFIGURE OUTPUT ${dir}/${name}.h @ONLY
    CONTENT "/* Written by cmake/embed.cmake. */\n#pragma once\n#include <stddef.h>\n@declarations@")
  file(CONFIGURE OUTPUT ${dir}/${name}.c @ONLY
    CONTENT "/* Written by cmake/embed.cmake. */\n#include \"${name}.h\"\n@definitions@")
  target_sources(${target} PRIVATE ${dir}/${name}.c)
  target_include_directories(${target} PRIVATE ${dir})
endfunction()
