/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dd_span_prop_test.c - a property of a million random request lists: whatever the driver makes of them,
 * the commands obey AIX-05..09 and AIX-11, every request is covered exactly once and in order, and no
 * two neighbours that could have shared a command were sent apart.
 *
 * SCPAIR_PROP_COUNT sets the number of lists, SCPAIR_PROP_SEED the first seed. List i has seed first + i,
 * which is printed when it fails: SCPAIR_PROP_SEED=<seed> SCPAIR_PROP_COUNT=1 runs just that one again.
 */
#include "fake_ad.h"

#define LIST_MAX   40u
#define PROP_COUNT 1000000ull
#define PROP_SEED  20261120ull

static struct fake_buf list[LIST_MAX];
static unsigned nlist;
static uint64_t seed;
static uint64_t state;
/* Where checking is: the next request, and how much of it earlier commands covered. */
static unsigned at;
static size_t covered;
static unsigned prev_last; /* the last request of the previous command; LIST_MAX none */
static size_t prev_bytes;

/* splitmix64 */
static uint64_t rnd(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            ck_abort_msg("list of seed %llu, request %u: %s", (unsigned long long)seed, at, #cond);          \
    } while (0)

static uintptr_t start_of(const struct buf *b) { return (uintptr_t)b->b_un.b_addr; }

/* May b follow a in one command? The rule, written down a second time and independently. */
static bool may_join(const struct buf *a, const struct buf *b)
{
    return (a->b_flags & B_READ) == (b->b_flags & B_READ) && a->b_options == b->b_options &&
           a->b_blkno * 512 + (int64_t)a->b_bcount == b->b_blkno * 512 &&
           (start_of(a) + a->b_bcount) % 4096 == 0 && start_of(b) % 4096 == 0;
}

static void check_spanned(const struct sc_buf *sc)
{
    size_t total = 0;
    const struct buf *bp;

    for (bp = sc->bp; bp; bp = bp->av_forw, at++) {
        CHECK(at < nlist && bp == &list[at].b);
        CHECK(bp == sc->bp || may_join(&list[at - 1].b, bp));
        total += bp->b_bcount;
    }
    CHECK(total == sc->bufstruct.b_bcount);
}

/* Instead of a device: look, and say it is done. */
static bool look(struct sc_buf *sc)
{
    unsigned first = at;

    if (nlist == 0)
        return false; /* opening */
    CHECK(sc->bufstruct.b_bcount <= fake.max_transfer && sc->bufstruct.av_forw == NULL);
    CHECK(at < nlist);
    if (sc->bp) {
        CHECK(covered == 0);
        check_spanned(sc);
        CHECK(at - first >= 2);
    } else {
        const struct buf *bp = &list[at].b;

        CHECK(sc->bufstruct.b_un.b_addr == (uint8_t *)bp->b_un.b_addr + covered);
        CHECK(sc->bufstruct.b_blkno == bp->b_blkno + (int64_t)(covered / 512));
        covered += sc->bufstruct.b_bcount;
        CHECK(covered <= bp->b_bcount);
        if (covered == bp->b_bcount) {
            covered = 0;
            at++;
        }
    }
    CHECK((sc->bufstruct.b_flags & B_READ) == (list[first].b.b_flags & B_READ));
    /* Greedy: what could have joined the previous command has. */
    if (prev_last < LIST_MAX && list[first].b.b_bcount <= fake.max_transfer && prev_last + 1 == first &&
        list[prev_last].b.b_bcount <= fake.max_transfer)
        CHECK(!may_join(&list[prev_last].b, &list[first].b) ||
              prev_bytes + list[first].b.b_bcount > fake.max_transfer);
    prev_last = at > first && covered == 0 ? at - 1 : LIST_MAX;
    prev_bytes = sc->bufstruct.b_bcount;
    fake.active--;
    sc->bufstruct.b_resid = 0;
    iodone(&sc->bufstruct);
    return true;
}

static void list_make(void)
{
    uint64_t blkno = rnd() % 1000;
    uint64_t place = 1 + rnd() % 64;
    unsigned misalign = rnd() % 4 == 0;

    nlist = 1 + (unsigned)(rnd() % LIST_MAX);
    for (unsigned i = 0; i < nlist; i++) {
        uint64_t r = rnd();
        size_t bytes = r % 3 ? 4096 * (1 + (r >> 8) % 3) : 512 * (1 + (r >> 8) % 24);
        uintptr_t addr = (place << 16) + (misalign && r % 5 == 0 ? 512 * ((r >> 16) % 8) : 0);

        if (r % 97 == 0)
            bytes = 65536 + 512 * ((r >> 20) % 200); /* now and then larger than the maximum */
        if ((r >> 32) % 6 == 0)
            blkno += (r >> 36) % 3; /* a gap, mostly */
        /* Let the end meet a page boundary more often than chance would. */
        if ((r >> 40) % 2)
            addr += (4096 - (addr + bytes) % 4096) % 4096 & ~(uintptr_t)511;
        fake_buf_init(&list[i], (r >> 44) % 8 != 0, blkno, (void *)addr, bytes);
        list[i].b.b_options = (r >> 48) % 16 == 0 ? SC_OPT_FUA : 0;
        blkno += bytes / 512;
        place++;
    }
}

static uint64_t env_or(const char *name, uint64_t dflt)
{
    const char *v = getenv(name);

    return v ? strtoull(v, NULL, 0) : dflt;
}

START_TEST(test_AIX_09_AIX_07_AIX_11_random_request_lists)
{
    uint64_t count = env_or("SCPAIR_PROP_COUNT", PROP_COUNT);
    uint64_t first = env_or("SCPAIR_PROP_SEED", PROP_SEED);
    struct file *fp;

    /* A million lists under full checks take minutes; the driver's own assertions stay on. */
    shim_checks_set(false);
    ck_assert_int_eq(shim_init(shim_det_host(1)), 0);
    ck_assert_int_eq(kern_init(), 0);
    fake_setup_only(1u << 20, 512);
    fake.max_transfer = 65536;
    fp = fake_open(NULL);
    fake.hook = look;
    for (uint64_t i = 0; i < count; i++) {
        seed = first + i;
        state = seed;
        list_make();
        at = 0;
        covered = 0;
        prev_last = LIST_MAX;
        fake.nlog = 0;
        fake_submit(list, nlist);
        CHECK(at == nlist);
        for (unsigned k = 0; k < nlist; k++)
            CHECK(list[k].done == 1 && list[k].b.b_resid == 0 && !(list[k].b.b_flags & B_ERROR));
        if (i % 4096 == 0)
            dd_check_invariants(FAKE_DEV);
    }
    nlist = 0;
    fake.hook = NULL;
    fake_close(fp);
    fake_end();
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("dd_span_prop");
    TCase *t = tcase_create("random");

    tcase_set_timeout(t, 280);
    tcase_add_test(t, test_AIX_09_AIX_07_AIX_11_random_request_lists);
    suite_add_tcase(s, t);
    printf("request lists from seed %llu\n", (unsigned long long)env_or("SCPAIR_PROP_SEED", PROP_SEED));
    return test_run(s, argc, argv);
}
