/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names_test.c - a program that has functions of its own under every AIX name.
 *
 * Linked with the archive and with the shared library: the pair must work, must never call one of
 * the program's functions, and the program's calls must reach its own. SCPAIR_NO_AIX_NAMES lets
 * one source file say both.
 */
#define SCPAIR_NO_AIX_NAMES
#include <scpair/scpair.h>

#include <stdio.h>
#include <string.h>

/* clang-format off */
#define OWN_NAMES(X) \
    X(devswadd) X(devswdel) X(devsw_find) X(devstrat) X(fp_opendev) X(fp_close) X(fp_ioctl) X(fp_ioctlx) \
    X(fp_rwuio) X(fp_getdevno) X(iodone) X(iowait) X(iodone_wakeup) X(lock_alloc) X(lock_free) \
    X(lock_mine) X(e_sleep_thread) X(e_timedsleep) X(e_wakeup) X(thread_self) X(w_init) X(w_start) \
    X(w_stop) X(w_clear) X(talloc) X(tstart) X(tstop) X(tfree) X(xmalloc) X(xmfree) X(kcopyin) \
    X(kcopyout) X(errsave) X(errlog_read) X(kern_at_process_level) X(kern_now_ns) X(kern_format) \
    X(kern_tunable) X(kern_plug_begin) X(kern_plug_end) \
    X(kern_plug_join) X(kern_poller_add) X(kern_poller_remove) X(kern_assert_failed) X(kern_init) \
    X(kern_fini) X(uiomove) X(uphysio) X(scdisk_config)
/* clang-format on */

static unsigned own_calls;

/* Other types than ours: whoever took one for the other would crash or count. */
#define OWN_FUNCTION(name)                                                                                   \
    long name(void);                                                                                         \
    long name(void)                                                                                          \
    {                                                                                                        \
        own_calls++;                                                                                         \
        return -1;                                                                                           \
    }
OWN_NAMES(OWN_FUNCTION)

static int failed(const char *what, long got)
{
    printf("FAIL %s: %ld\n", what, got);
    return 1;
}

/* Write, read back, and look at the error log: most of the kernel services have been at work then. */
static int use_the_pair(void)
{
    static char out[65536], in[65536], err[SCP_ERROR_MAX];
    struct scp_disk_spec disk = {.medium = SCP_MEDIUM_RAM, .bytes = 1u << 20};
    struct scp_spec spec = {.disks = &disk, .ndisks = 1};
    struct scp *pair;
    struct file *fp;
    size_t done = 0;
    int rc = scp_create(&spec, &pair, err, sizeof(err));

    if (rc != 0)
        return failed(err, rc);
    rc = sck_fp_opendev(scp_disk_devno(pair, 0), DREAD | DWRITE, NULL, 0, &fp);
    if (rc != 0)
        return failed("open", rc);
    memset(out, 0xa5, sizeof(out));
    rc = scp_raw_write(fp, out, sizeof(out), 4096, 0, &done);
    if (rc != 0 || done != sizeof(out))
        return failed("write", rc);
    rc = scp_raw_read(fp, in, sizeof(in), 4096, &done);
    if (rc != 0 || done != sizeof(in) || memcmp(in, out, sizeof(in)) != 0)
        return failed("read", rc);
    rc = sck_fp_close(fp);
    if (rc != 0)
        return failed("close", rc);
    return scp_destroy(pair) == 0 ? 0 : failed("leak", 0);
}

int main(void)
{
    unsigned calls = 0;

    if (use_the_pair() != 0)
        return 1;
    if (own_calls != 0)
        return failed("calls of the program's own functions by the library", (long)own_calls);
#define OWN_CALL(name)                                                                                       \
    calls++;                                                                                                 \
    if (name() != -1)                                                                                        \
        return failed(#name " is not the program's", 0);
    OWN_NAMES(OWN_CALL)
    if (own_calls != calls)
        return failed("calls of the program's own functions", (long)own_calls);
    printf("names: %u of the program's own, none taken\n", calls);
    return 0;
}
