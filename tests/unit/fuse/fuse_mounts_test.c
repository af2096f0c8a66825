/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of src/fuse/fuse_mounts.c: lines of mountinfo, and the list of this process.
 */
#define _GNU_SOURCE
#include "../test_main.h"

#include "fuse/fuse_mounts.h"

static bool parse(const char *text, struct fuse_mount *m)
{
    static char line[512];

    (void)snprintf(line, sizeof(line), "%s", text);
    return fuse_mount_parse(line, m);
}

START_TEST(test_a_line_of_ours)
{
    struct fuse_mount m;

    ck_assert(parse("42 27 0:39 / /tmp/mnt rw,nosuid,nodev,relatime shared:7 - fuse.scpair scpair "
                    "rw,user_id=1000,group_id=100,default_permissions\n",
                    &m));
    ck_assert_uint_eq(m.mo_id, 42);
    ck_assert_uint_eq(m.mo_parent, 27);
    ck_assert_uint_eq(m.mo_major, 0);
    ck_assert_uint_eq(m.mo_minor, 39);
    ck_assert_str_eq(m.mo_point, "/tmp/mnt");
    ck_assert_str_eq(m.mo_type, FUSE_MOUNT_TYPE);
    ck_assert_str_eq(m.mo_source, "scpair");
    ck_assert_int_eq(m.mo_user, 1000);
}
END_TEST

START_TEST(test_names_are_decoded)
{
    struct fuse_mount m;

    ck_assert(parse("1 2 8:1 / /a\\040b\\011c\\134d\\012 rw - ext4 /dev/my\\040disk rw", &m));
    ck_assert_str_eq(m.mo_point, "/a b\tc\\d\n");
    ck_assert_str_eq(m.mo_source, "/dev/my disk");
    ck_assert_int_eq(m.mo_user, -1);
    /* What is no escape stays, also at the end of a name. */
    ck_assert(parse("1 2 8:1 / /a\\04 rw - ext4 x\\ rw", &m));
    ck_assert_str_eq(m.mo_point, "/a\\04");
    ck_assert_str_eq(m.mo_source, "x\\");
}
END_TEST

START_TEST(test_tags_before_the_dash)
{
    struct fuse_mount m;

    ck_assert(parse("1 2 8:1 / /mnt rw shared:1 master:2 unbindable - tmpfs none rw,user_id=7", &m));
    ck_assert_str_eq(m.mo_type, "tmpfs");
    ck_assert_int_eq(m.mo_user, 7);
}
END_TEST

START_TEST(test_what_is_no_line)
{
    struct fuse_mount m;

    ck_assert(!parse("", &m));
    ck_assert(!parse("1 2 8:1 / /mnt rw", &m));
    ck_assert(!parse("1 2 8:1 / /mnt rw - tmpfs", &m));
    ck_assert(!parse("1 2 8 / /mnt rw - tmpfs none rw", &m));
    ck_assert(!parse("x 2 8:1 / /mnt rw - tmpfs none rw", &m));
}
END_TEST

static bool count_root(const struct fuse_mount *m, void *arg)
{
    *(unsigned *)arg += strcmp(m->mo_point, "/") == 0;
    return true;
}

static bool stop_at_once(const struct fuse_mount *m, void *arg)
{
    (void)m;
    *(unsigned *)arg += 1;
    return false;
}

START_TEST(test_this_process)
{
    unsigned roots = 0, calls = 0;

    ck_assert_int_eq(fuse_mounts_each(count_root, &roots), 0);
    ck_assert_uint_ge(roots, 1);
    ck_assert_int_eq(fuse_mounts_each(stop_at_once, &calls), 0);
    ck_assert_uint_eq(calls, 1);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("fuse_mounts");
    TCase *t = tcase_create("mountinfo");

    tcase_add_test(t, test_a_line_of_ours);
    tcase_add_test(t, test_names_are_decoded);
    tcase_add_test(t, test_tags_before_the_dash);
    tcase_add_test(t, test_what_is_no_line);
    tcase_add_test(t, test_this_process);
    suite_add_tcase(s, t);
    return test_run(s, argc, argv);
}
