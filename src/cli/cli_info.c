/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_info.c - scpair info: what the drivers found out, by the ioctls any program may use.
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *info_adapter(const struct cli_end *end, const char *name)
{
    struct devinfo d = {0};
    struct sc_adapter_stats st = {0};
    int error = cli_end_ioctl(end, IOCINFO, &d);
    json_t *o;

    if (error != 0)
        return json_pack("{s:s,s:s}", "name", name, "error", scp_strerror(error));
    o = json_pack("{s:s,s:s,s:i,s:i,s:I,s:b}", "name", name, "devtype", "DD_BUS", "devsubtype", d.devsubtype,
                  "scsi_id", d.un.scsi.card_scsi_id, "max_transfer", (json_int_t)d.un.scsi.max_transfer,
                  "gathered_writes", cli_end_ioctl(end, SCIOGTHW, NULL) == 0);
    if (cli_end_ioctl(end, SCIOSTAT, &st) == 0)
        json_object_set_new(o, "credits", json_integer(st.credits));
    return o;
}

static void info_device_id(json_t *o, const struct sc_disk_info *k)
{
    char hex[2 * sizeof(k->device_id) + 1] = "";

    for (unsigned i = 0; i < k->device_id_bytes && i < sizeof(k->device_id); i++)
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", k->device_id[i]);
    json_object_set_new(o, "device_id", json_string(hex));
}

static json_t *info_disk(const struct cli_end *end, const char *name)
{
    struct devinfo d = {0};
    struct sc_disk_info k = {0};
    int error = cli_end_ioctl(end, IOCINFO, &d);
    json_t *o;

    if (error == 0)
        error = cli_end_ioctl(end, DKINFO, &k);
    if (error != 0)
        return json_pack("{s:s,s:s}", "name", name, "error", scp_strerror(error));
    o = json_pack("{s:s,s:s,s:i,s:i,s:I,s:i,s:I,s:I}", "name", name, "devtype", "DD_SCDISK", "flags", d.flags,
                  "devsubtype", d.devsubtype, "blocks", (json_int_t)d.un.scdk.numblks, "block",
                  d.un.scdk.blksize, "bytes", (json_int_t)d.un.scdk.numblks * d.un.scdk.blksize,
                  "max_transfer", (json_int_t)d.un.scdk.max_request);
    json_object_set_new(o, "scsi_id", json_integer(k.id));
    json_object_set_new(o, "lun", json_integer(k.lun));
    json_object_set_new(o, "queue_depth", json_integer(k.queue_depth));
    json_object_set_new(o, "tagged", json_boolean(k.tagged));
    json_object_set_new(o, "read_only", json_boolean(k.read_only));
    json_object_set_new(o, "write_cache", json_boolean(k.write_cache));
    json_object_set_new(o, "gathered_writes", json_boolean(k.gather));
    json_object_set_new(o, "unmap", json_boolean(k.unmap));
    json_object_set_new(o, "write_same", json_boolean(k.write_same));
    json_object_set_new(o, "vendor", json_string(k.vendor));
    json_object_set_new(o, "product", json_string(k.product));
    json_object_set_new(o, "revision", json_string(k.revision));
    json_object_set_new(o, "serial", json_string(k.serial));
    info_device_id(o, &k);
    return o;
}

/* ------------------------------------------------------------------ where the devices are */

static json_t *info_failed(const char *name, const char *why)
{
    return json_pack("{s:s,s:s}", "name", name, "error", why);
}

static json_t *info_of_pair(struct cli_pair *pair)
{
    json_t *adapters = json_array();
    json_t *disks = json_array();
    struct cli_end end = {.e_fd = -1};

    for (unsigned i = 0; i < scp_nadapters(pair->p_scp); i++) {
        const char *name = scp_adapter_name(pair->p_scp, i);
        int error = scp_adapter_file(pair->p_scp, i, &end.e_file);

        json_array_append_new(adapters,
                              error == 0 ? info_adapter(&end, name) : info_failed(name, scp_strerror(error)));
    }
    for (unsigned i = 0; i < scp_ndisks(pair->p_scp); i++) {
        int error = scp_disk_file(pair->p_scp, i, &end.e_file);

        const char *name = scp_disk_name(pair->p_scp, i);
        json_t *o = error == 0 ? info_disk(&end, name) : info_failed(name, scp_strerror(error));

        json_object_set_new(o, "adapter",
                            json_string(scp_adapter_name(pair->p_scp, scp_disk_adapter(pair->p_scp, i))));
        json_array_append_new(disks, o);
    }
    return json_pack("{s:o,s:o}", "adapters", adapters, "disks", disks);
}

/* Entry i of a list in .scpair/spec: its device opened and asked. */
static json_t *info_of_node(const char *mount, const json_t *entry, bool disk)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    struct cli_end end = {.e_fd = -1};
    char path[4096];
    json_t *o;

    if (name == NULL)
        name = "";
    (void)snprintf(path, sizeof(path), "%s/%s%s", mount, disk ? "r" : "", name);
    end.e_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (end.e_fd < 0)
        o = info_failed(name, strerror(errno));
    else
        o = disk ? info_disk(&end, name) : info_adapter(&end, name);
    if (disk) {
        json_object_set(o, "adapter", json_object_get(entry, "adapter"));
        json_object_set(o, "path", json_object_get(entry, "path"));
    }
    cli_end_close(&end);
    return o;
}

static json_t *info_of_mount(const char *mount, int *rc)
{
    json_t *spec = cli_ctl_json(mount, "spec", rc);
    json_t *adapters, *disks, *entry;
    size_t i;

    if (spec == NULL)
        return NULL;
    adapters = json_array();
    disks = json_array();
    json_array_foreach(json_object_get(spec, "adapters"), i, entry)
        json_array_append_new(adapters, info_of_node(mount, entry, false));
    json_array_foreach(json_object_get(spec, "disks"), i, entry)
        json_array_append_new(disks, info_of_node(mount, entry, true));
    json_decref(spec);
    return json_pack("{s:o,s:o}", "adapters", adapters, "disks", disks);
}

/* ------------------------------------------------------------------ text */

static void info_print_device(const json_t *o)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *key;
    json_t *value;

    printf("%s\n", name != NULL ? name : "?");
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        char *text;

        if (strcmp(key, "name") == 0)
            continue;
        if (json_is_boolean(value)) {
            printf("  %-16s %s\n", key, json_is_true(value) ? "yes" : "no");
        } else if (json_is_string(value)) {
            printf("  %-16s %s\n", key, json_string_value(value));
        } else if (!json_is_null(value)) {
            text = json_dumps(value, JSON_ENCODE_ANY);
            printf("  %-16s %s\n", key, text != NULL ? text : "?");
            free(text);
        }
    }
}

static int info_print(json_t *all)
{
    static const char *const list[] = {"adapters", "disks"};

    for (size_t l = 0; l < SC_ARRAY_SIZE(list); l++) {
        const json_t *devices = json_object_get(all, list[l]);

        for (size_t i = 0; i < json_array_size(devices); i++)
            info_print_device(json_array_get(devices, i));
    }
    json_decref(all);
    return CLI_OK;
}

static int info_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        CLI_PAIR_OPTIONS, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    struct cli_pair pair = {0};
    bool json = false;
    json_t *all = NULL;
    int c, rc = CLI_OK;

    while (rc == CLI_OK && (c = cli_getopt(cmd, argc, argv, ":j", longs)) != -1) {
        if (c == 'j')
            json = true;
        else if (c == CLI_GETOPT_HELP || c == CLI_GETOPT_BAD)
            return cli_pair_end(&pair, cli_getopt_rc(c));
        else
            rc = cli_pair_option(&pair, c, optarg);
    }
    if (rc == CLI_OK)
        rc = cli_pair_unused(cmd, &pair);
    if (rc == CLI_OK && !cli_arguments(cmd, argc, argv, pair.p_ndisks == 0 ? "MOUNTPOINT" : ""))
        rc = CLI_USAGE;
    if (rc == CLI_OK && pair.p_ndisks > 0)
        rc = cli_pair_create(&pair);
    if (rc == CLI_OK) {
        all = pair.p_scp != NULL ? info_of_pair(&pair) : info_of_mount(argv[optind], &rc);
        if (all != NULL)
            rc = json ? cli_json_print(all) : info_print(all);
    }
    return cli_pair_end(&pair, rc);
}

const struct cli_command cli_info = {
    "info",
    "[--json] MOUNTPOINT  |  [--json] --disk FILE[,OPTION]...",
    "what the adapters and the disks are, by IOCINFO, SCIOGTHW and DKINFO",
    "  -j, --json         as JSON\n"
    "  --disk FILE,...    a disk of an image, through the drivers, without a mount\n"
    "  --adapter, --max-transfer, --no-gather   as for mount\n\n"
    "Examples:\n"
    "  scpair info mnt\n"
    "  scpair info --json --disk disk.img,block=4096\n",
    info_run,
};
