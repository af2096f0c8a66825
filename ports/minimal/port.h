/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h - the two tables that port.c fills.
 */
#ifndef PORT_H
#define PORT_H

#include <scpair/shim.h>
#include <sys/scuio.h>

extern const struct shim_host port_host;
extern const struct shim_dev_ops port_dev_ops;

#endif /* PORT_H */
