/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_fstab.c - scpair as mount(8)'s helper for the type fuse.scpair.
 *
 *   mount.fuse.scpair SOURCE DIRECTORY [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
 *
 * so that `mount -t fuse.scpair disk.img /mnt` and a line in /etc/fstab work. The name is a link to
 * scpair. An option of mount(8)'s becomes one of scpair mount's, a word that is for the system is
 * dropped, and all others are the disks'.
 *
 * umount(8) has no helper: for any FUSE mount it looks for umount.fuse only, which is not ours to
 * install. It comes back when the kernel has let go, a moment before the server has flushed and let
 * go of the image; so a mount from here waits for an image that is still in use.
 *
 * Does not contain: what scpair mount does (cli_mount.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FSTAB_WORDS_MAX 256u
#define FSTAB_WAIT      "10" /* seconds */

/* The command line for the command, and the memory it points into. */
struct fstab_line {
    char *l_argv[FSTAB_WORDS_MAX];
    int l_argc;
    char *l_owned[FSTAB_WORDS_MAX];
    unsigned l_nowned;
    const char *l_disks[SCP_DISKS_MAX];
    unsigned l_ndisks;
    char *l_each; /* ",block=4096,ro": for every disk */
    bool l_fake;
};

static const char *const fstab_ignored[] = {
    "defaults", "rw",      "auto", "noauto",   "user",     "nouser",     "users",    "owner",       "group",
    "nofail",   "_netdev", "exec", "noexec",   "suid",     "nosuid",     "dev",      "nodev",       "async",
    "atime",    "noatime", "sync", "relatime", "diratime", "nodiratime", "lazytime", "strictatime",
};
static const char *const fstab_ignored_beginnings[] = {"x-", "X-", "user=", "comment="};

/* OPTION or OPTION=VALUE of -o, and scpair mount's name for it. */
static const struct fstab_option {
    const char *o_name, *o_long;
    bool o_value;
} fstab_options[] = {
    {"allow_other", "--allow-other", false},
    {"mode", "--mode", true},
    {"uid", "--uid", true},
    {"gid", "--gid", true},
    {"stop_timeout", "--stop-timeout", true},
    {"threads", "--threads", true},
    {"max_transfer", "--max-transfer", true},
    {"no_gather", "--no-gather", false},
};

static bool fstab_word(struct fstab_line *l, const char *word)
{
    if (l->l_argc + 1 >= (int)FSTAB_WORDS_MAX)
        return false;
    l->l_argv[l->l_argc++] = (char *)(uintptr_t)word;
    l->l_argv[l->l_argc] = NULL;
    return true;
}

/* Keep what was allocated until the end. NULL stays NULL. */
static char *fstab_own(struct fstab_line *l, char *text)
{
    if (text != NULL && l->l_nowned < FSTAB_WORDS_MAX) {
        l->l_owned[l->l_nowned++] = text;
        return text;
    }
    free(text);
    return NULL;
}

static bool fstab_is_ignored(const char *word)
{
    for (size_t i = 0; i < SC_ARRAY_SIZE(fstab_ignored); i++)
        if (strcmp(word, fstab_ignored[i]) == 0)
            return true;
    for (size_t i = 0; i < SC_ARRAY_SIZE(fstab_ignored_beginnings); i++)
        if (strncmp(word, fstab_ignored_beginnings[i], strlen(fstab_ignored_beginnings[i])) == 0)
            return true;
    return false;
}

/* One word of -o. CLI_OK, or the exit code after saying what is wrong. */
static int fstab_option(struct fstab_line *l, char *word)
{
    size_t length = strcspn(word, "=");
    char *each;

    if (word[0] == '\0' || fstab_is_ignored(word))
        return CLI_OK;
    for (size_t i = 0; i < SC_ARRAY_SIZE(fstab_options); i++) {
        const struct fstab_option *o = &fstab_options[i];

        if (strlen(o->o_name) != length || strncmp(word, o->o_name, length) != 0)
            continue;
        if (o->o_value != (word[length] == '='))
            return cli_fail(CLI_USAGE, "mount: -o %s: %s", word,
                            o->o_value ? "needs a value, as in mode=0660" : "takes no value");
        if (!fstab_word(l, o->o_long) || (o->o_value && !fstab_word(l, word + length + 1)))
            return cli_fail(CLI_USAGE, "mount: -o %s: too many options", word);
        return CLI_OK;
    }
    if (strncmp(word, "disk=", 5) == 0) {
        if (l->l_ndisks == SCP_DISKS_MAX)
            return cli_fail(CLI_USAGE, "mount: -o %s: too many disks", word);
        l->l_disks[l->l_ndisks++] = word + 5;
        return CLI_OK;
    }
    if (asprintf(&each, "%s,%s", l->l_each, word) < 0)
        return cli_fail(CLI_FAILED, "no memory");
    l->l_each = fstab_own(l, each);
    return l->l_each != NULL ? CLI_OK : cli_fail(CLI_USAGE, "mount: -o %s: too many options", word);
}

/* The flags, wherever they stand. */
static int fstab_flags(struct fstab_line *l, int argc, char **argv)
{
    int rc = CLI_OK;
    char *word, *rest;
    int c;

    opterr = 0;
    while (rc == CLI_OK && (c = getopt(argc, argv, "sfnvN:o:t:")) != -1) {
        if (c == '?')
            return cli_fail(CLI_USAGE, "%s: -%c: unknown option", argv[0], optopt);
        l->l_fake = l->l_fake || c == 'f';
        rest = c == 'o' ? fstab_own(l, strdup(optarg)) : NULL;
        while (rc == CLI_OK && (word = strsep(&rest, ",")) != NULL)
            rc = fstab_option(l, word);
    }
    return rc;
}

/* A name for --disk, where two commas stand for one. NULL without memory. */
static char *fstab_name(struct fstab_line *l, const char *name)
{
    char *out = malloc(2 * strlen(name) + 1);
    char *to = out;

    for (; out != NULL && *name != '\0'; name++) {
        if (*name == ',')
            *to++ = ',';
        *to++ = *name;
    }
    if (out != NULL)
        *to = '\0';
    return fstab_own(l, out);
}

static int fstab_mount(struct fstab_line *l, int argc, char **argv)
{
    int rc = fstab_flags(l, argc, argv);
    char *disk;

    if (rc != CLI_OK)
        return rc;
    if (argc - optind != 2)
        return cli_fail(CLI_USAGE, "usage: %s SOURCE DIRECTORY [-o OPTION,...]", argv[0]);
    l->l_disks[0] = fstab_name(l, argv[optind]);
    for (unsigned i = 0; i < l->l_ndisks; i++) {
        disk = NULL;
        if (l->l_disks[i] == NULL || asprintf(&disk, "%s%s", l->l_disks[i], l->l_each) < 0)
            disk = NULL;
        disk = fstab_own(l, disk);
        if (disk == NULL || !fstab_word(l, "--disk") || !fstab_word(l, disk))
            return cli_fail(CLI_USAGE, "%s: too many disks or options", argv[optind]);
    }
    if (!fstab_word(l, "--") || !fstab_word(l, argv[optind + 1]))
        return cli_fail(CLI_USAGE, "%s: too many disks or options", argv[optind]);
    if (l->l_fake)
        return CLI_OK;
    optind = 0;
    return cli_mount.c_run(&cli_mount, l->l_argc, l->l_argv);
}

bool cli_fstab_helper(int argc, char **argv, int *rc)
{
    struct fstab_line l = {.l_ndisks = 1};
    char empty[1] = "";

    if (argc < 1 || strcmp(basename(argv[0]), "mount.fuse.scpair") != 0)
        return false;
    l.l_each = empty;
    (void)(fstab_word(&l, "mount") && fstab_word(&l, "--wait") && fstab_word(&l, FSTAB_WAIT));
    *rc = fstab_mount(&l, argc, argv);
    for (unsigned i = 0; i < l.l_nowned; i++)
        free(l.l_owned[i]);
    return true;
}
