# SPDX-License-Identifier: BSD-2-Clause
#
# What docs/simulation.md shows of the program `example` is what the program prints, but for numbers: lines
# of source files move. cmake -DSIM=sim_small -DDOC=docs/simulation.md -P example.cmake
file(READ ${DOC} doc)
string(REGEX MATCH "\nexample [^`]*" shown "${doc}")
execute_process(COMMAND ${SIM} example OUTPUT_VARIABLE said ERROR_QUIET)
string(REGEX REPLACE "[0-9]+" "N" shown_plain "${shown}")
string(REGEX REPLACE "[0-9]+" "N" said_plain "\n${said}")
if(NOT shown_plain STREQUAL said_plain)
    message(FATAL_ERROR "${DOC} shows:\n${shown}\nsim_small prints:\n\n${said}")
endif()
