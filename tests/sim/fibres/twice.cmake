# SPDX-License-Identifier: BSD-2-Clause
#
# A few seeds twice: a run is a function of its seed. cmake -DSIM=scpair-sim -P twice.cmake
foreach(seed 1 7 34 41 130)
    foreach(time first second)
        execute_process(COMMAND ${SIM} --seed ${seed} --without late-iodone OUTPUT_VARIABLE ${time})
    endforeach()
    if(NOT first STREQUAL second OR NOT first MATCHES "digest [0-9a-f]+")
        message(FATAL_ERROR "seed ${seed}, twice:\n${first}\n${second}")
    endif()
endforeach()
