/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cli_inject.c - scpair inject: make a mounted disk misbehave.
 *
 * Does not contain: the language of the rules (scp/scp_inject.c).
 */
#define _GNU_SOURCE
#include "cli_impl.h"

#include <string.h>

#define INJECT_RULE_MAX 1024u

static int inject_clear(const char *mount)
{
    int rc = CLI_OK;
    json_t *spec = cli_ctl_json(mount, "spec", &rc);
    char rule[INJECT_RULE_MAX];

    for (size_t i = 0; i < json_array_size(json_object_get(spec, "disks")); i++) {
        const json_t *disk = json_array_get(json_object_get(spec, "disks"), i);

        (void)snprintf(rule, sizeof(rule), "%s clear", json_string_value(json_object_get(disk, "name")));
        if (rc == CLI_OK)
            rc = cli_ctl_inject(&cli_inject, mount, rule);
    }
    json_decref(spec);
    return rc;
}

static const char *inject_string(const json_t *rule, const char *key)
{
    const char *text = json_string_value(json_object_get(rule, key));

    return text != NULL ? text : "?";
}

static int inject_list(const char *mount, bool json)
{
    int rc = CLI_OK;
    json_t *state = cli_ctl_json(mount, "inject", &rc);
    json_t *rules = json_object_get(state, "rules");

    if (state == NULL)
        return rc;
    if (json)
        return cli_json_print(state);
    for (size_t i = 0; i < json_array_size(rules); i++)
        printf("%s  (%lld hits)\n", inject_string(json_array_get(rules, i), "text"),
               (long long)json_integer_value(json_object_get(json_array_get(rules, i), "hits")));
    if (json_array_size(rules) == 0)
        printf("no rules\n");
    json_decref(state);
    return CLI_OK;
}

/* Each line begins with its disk. What a user means for all disks has an option of its own. */
static int inject_rules(const struct cli_command *cmd, const char *mount, const char *rules)
{
    char word[64];

    for (const char *at = rules; at != NULL; at = strchr(at, '\n'), at += at != NULL) {
        (void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " \t\n"), at);
        if (word[0] == '\0')
            return cli_fail(CLI_USAGE,
                            "inject: \"\": no rule; for example hdisk0 do=busy, see scpair inject --help");
        if (strcmp(word, "clear") == 0)
            return cli_fail(CLI_USAGE, "inject: clear: of which disk? say hdisk0 clear, or --clear for all");
        if (!cli_disk_name(cmd, word))
            return CLI_USAGE;
    }
    return cli_ctl_inject(cmd, mount, rules);
}

static int inject_run(const struct cli_command *cmd, int argc, char **argv)
{
    static const struct option longs[] = {{"list", no_argument, NULL, 'l'},
                                          {"clear", no_argument, NULL, 'c'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    bool list = false, clear = false, json = false;
    char rule[INJECT_RULE_MAX] = "";
    size_t used = 0;
    int c;

    while ((c = cli_getopt(cmd, argc, argv, ":lcj", longs)) != -1) {
        if (c == 'l')
            list = true;
        else if (c == 'c')
            clear = true;
        else if (c == 'j')
            json = true;
        else
            return cli_getopt_rc(c);
    }
    if (list && clear)
        return cli_fail(CLI_USAGE, "inject: --list and --clear contradict each other; give one");
    if (json && !list)
        return cli_fail(CLI_USAGE, "inject: --json is for --list, which is not given");
    if (list || clear) {
        if (!cli_arguments(cmd, argc, argv, "MOUNTPOINT"))
            return CLI_USAGE;
        return clear ? inject_clear(argv[optind]) : inject_list(argv[optind], json);
    }
    if (argc - optind < 2)
        return cli_fail(CLI_USAGE,
                        "inject: %s; for example scpair inject mnt hdisk0 do=busy, see scpair inject --help",
                        argc == optind ? "a mount point and a rule are needed" : "a rule is needed");
    /* A rule may come as one argument or as several words; arguments with blanks are a rule each. */
    for (int i = optind + 1; i < argc; i++) {
        const char *between = strchr(argv[i], ' ') != NULL ? "\n" : " ";
        int n = snprintf(rule + used, sizeof(rule) - used, "%s%s", used ? between : "", argv[i]);

        if (n < 0 || (size_t)n >= sizeof(rule) - used)
            return cli_fail(CLI_USAGE, "inject: the rule is too long");
        used += (size_t)n;
    }
    return inject_rules(cmd, argv[optind], rule);
}

const struct cli_command cli_inject = {
    "inject",
    "MOUNTPOINT RULE...  |  --list [--json] MOUNTPOINT  |  --clear MOUNTPOINT",
    "make a disk misbehave: errors, busy, hangs, short or wrong data",
    "RULE:  DISK [op=CODE|data|read|write|any] [lba=FIRST[-LAST]] [skip=N]\n"
    "            [every=N | rate=P [seed=N]] [count=N|forever | once] do=ACTION\n"
    "       DISK clear                    forget the disk's rules\n"
    "       DISK load                     put its medium in and start it: scpair load\n"
    "       DISK attention=ASC/ASCQ       UNIT ATTENTION for the next command\n\n"
    "  op=     which commands: data (default) is READ and WRITE of any length, and leaves alone\n"
    "          what the driver sends of its own accord, such as REQUEST SENSE, RESERVE, TEST UNIT\n"
    "          READY, SYNCHRONIZE CACHE; read, write; a code such as 0x35; or any command at all\n"
    "  lba=    only those that touch one of these blocks\n"
    "  skip=   let so many pass first\n"
    "  every=  then strike every Nth\n"
    "  rate=   or P a second, spread by chance (seed= repeats it); 0.001 to 1000000\n"
    "  count=  so many strikes. Default: once, but forever with every= or rate=\n\n"
    "ACTION: check:KEY/ASC/ASCQ[/desc][/deferred]  CHECK CONDITION with that sense, hexadecimal;\n"
    "                                   deferred: about an earlier write, which was lost\n"
    "        busy qfull reserved        that SCSI status\n"
    "        hang                       never answers\n"
    "        noresponse busfault busreset hwfail   that adapter status\n"
    "        short:BYTES                good status, but so many bytes are missing\n"
    "        delay:USEC                 answers later\n"
    "        corrupt                    one byte of the data read is wrong\n\n"
    "  -l, --list    the rules in force and how often they have struck\n"
    "  -c, --clear   forget all rules of all disks\n"
    "  -j, --json    --list as JSON\n\n"
    "Examples:\n"
    "  scpair inject mnt hdisk0 op=read lba=1000-1007 do=check:3/11/00   # medium error\n"
    "  scpair inject mnt hdisk0 op=write count=3 do=busy\n"
    "  scpair inject mnt hdisk0 rate=5 do=qfull                          # 5 a second\n"
    "  scpair inject mnt hdisk0 attention=29/00                          # power on, reset\n",
    inject_run,
};
