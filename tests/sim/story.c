/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * story.c - telling a schedule to a person: where a fibre stopped and which one went on.
 *
 * Addresses become lines by addr2line, once each; a run that is told is short, because it has been
 * shrunk. Of the way to a point the first place outside the kernel services and the shim is shown: that
 * somebody stands in a lock routine helps nobody.
 */
#define _GNU_SOURCE
#include "schedule.h"

#include <sys/kservices.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORY_PLACES_MAX 4096u

struct story_place {
    void *pl_address;
    char pl_text[120]; /* "ad_push.c:141 ad_push" */
    bool pl_below;     /* in the services or the shim */
};
static struct story_place story_places[STORY_PLACES_MAX];
static unsigned story_nplaces;

/* Of what is inlined at an address, innermost first, the first outside the services; else the outermost. */
static void story_look_up(struct story_place *pl)
{
    char self[256], command[512], function[160], line[300];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    FILE *f;

    self[n > 0 ? n : 0] = '\0';
    pl->pl_below = true;
    /* The address of a call's return is that of the next line. */
    (void)snprintf(command, sizeof(command), "addr2line -i -f -e '%s' %p", self,
                   (void *)((char *)pl->pl_address - 1));
    f = popen(command, "r");
    if (!f)
        return;
    while (pl->pl_below && fgets(function, sizeof(function), f) && fgets(line, sizeof(line), f)) {
        const char *name = strrchr(line, '/');

        function[strcspn(function, "\n")] = '\0';
        line[strcspn(line, " \n")] = '\0';
        pl->pl_below = strstr(line, "src/shim/") != NULL || strstr(line, "include/s") != NULL;
        (void)snprintf(pl->pl_text, sizeof(pl->pl_text), "%.60s %.50s", name ? name + 1 : line, function);
    }
    (void)pclose(f);
}

static const struct story_place *story_find(void *address)
{
    struct story_place *pl;

    for (unsigned i = 0; i < story_nplaces; i++)
        if (story_places[i].pl_address == address)
            return &story_places[i];
    if (story_nplaces == STORY_PLACES_MAX)
        return NULL;
    pl = &story_places[story_nplaces++];
    pl->pl_address = address;
    story_look_up(pl);
    return pl;
}

void story_place(void *const *frames, char *out, size_t size)
{
    const struct story_place *best = NULL;

    for (unsigned i = 0; i < DET_FRAMES && frames[i]; i++) {
        const struct story_place *pl = story_find(frames[i]);

        if (pl && pl->pl_text[0] != '?' && pl->pl_text[0] != ' ') {
            best = pl;
            if (!pl->pl_below)
                break;
        }
    }
    (void)snprintf(out, size, "%s", best ? best->pl_text : "");
}

/*
 * What happened because somebody could not go on is told only just before and after what was decided: of a
 * long run these are the switches that say where everybody was.
 */
#define STORY_NATURAL 4u
static char story_natural[STORY_NATURAL][400];
static uint32_t story_nnatural, story_after;

static void story_flush(void)
{
    if (story_nnatural > STORY_NATURAL)
        printf("    ... %u switches because somebody had to wait\n", story_nnatural - STORY_NATURAL);
    for (uint32_t i = story_nnatural > STORY_NATURAL ? story_nnatural - STORY_NATURAL : 0; i < story_nnatural;
         i++)
        fputs(story_natural[i % STORY_NATURAL], stdout);
    story_nnatural = 0;
}

void story_end(void) { story_flush(); }

/* Where the fibre that runs was seen last. */
static struct {
    uint32_t fibre;
    uint32_t deviations; /* told so far */
    char where[160];
    enum det_point point;
} story_last = {.fibre = UINT32_MAX};

static void story_line(const char *line, bool decided)
{
    if (decided)
        story_flush();
    if (decided || story_after > 0)
        fputs(line, stdout);
    else
        (void)snprintf(story_natural[story_nnatural++ % STORY_NATURAL], sizeof(story_natural[0]), "%s", line);
    story_after = decided ? 2 : story_after > 0 ? story_after - 1 : 0;
}

/* Called at every point: a line when another fibre has come to be the one that runs. */
void story_point(void *arg, enum det_point point, uint32_t fibre, const char *object, void *const *frames)
{
    const struct sched *s = arg;
    const bool decided = s->s_result->r_ndeviations != story_last.deviations;
    char line[400];

    if (story_last.fibre != UINT32_MAX && (story_last.fibre != fibre || decided)) {
        const char *how = story_last.fibre == fibre ? "was off for a while" : decided ? "stopped" : "waits";

        if (story_last.point == DET_POINT_END) /* its place is nobody's */
            (void)snprintf(line, sizeof(line), "  %s fibre %u (%s) has ended; fibre %u (%s) goes on\n",
                           decided ? ">" : " ", story_last.fibre, shim_det_fibre_name(story_last.fibre),
                           fibre, shim_det_fibre_name(fibre));
        else
            (void)snprintf(line, sizeof(line), "  %s fibre %u (%s) %s at %s [%s]; fibre %u (%s) goes on\n",
                           decided ? ">" : " ", story_last.fibre, shim_det_fibre_name(story_last.fibre), how,
                           story_last.where, det_point_names[story_last.point], fibre,
                           shim_det_fibre_name(fibre));
        story_line(line, decided);
    }
    (void)object;
    story_last.deviations = s->s_result->r_ndeviations;
    story_last.fibre = fibre;
    story_last.point = point;
    story_place(frames, story_last.where, sizeof(story_last.where));
}

/* Whose function it is: a watchdog's or a fine timer's behind the services' own. */
static void *story_timer_function(const struct shim_timer *t)
{
    const struct story_place *pl = story_find((char *)t->tm_fn + 1);

    if (pl && strstr(pl->pl_text, " kern_watchdog_fire"))
        return (void *)((const struct watchdog *)t->tm_arg)->func;
    if (pl && strstr(pl->pl_text, " kern_trb_fire"))
        return (void *)((const struct trb *)t->tm_arg)->func;
    return (void *)t->tm_fn;
}

/*
 * The fibre has got to the point that was told last, and a timer runs on its stack. It may have no point of
 * its own, so this is told here and not at the next one.
 */
void story_on_top(void *arg, uint32_t fibre, const struct shim_timer *t)
{
    const struct sched *s = arg;
    const struct story_place *pl = story_find((char *)story_timer_function(t) + 1);
    const char *name = pl ? strchr(pl->pl_text, ' ') : NULL;
    char line[400];

    (void)snprintf(line, sizeof(line), "  > timer%s ran on top of fibre %u (%s) at %s [%s]\n",
                   name ? name : "", fibre, shim_det_fibre_name(fibre), story_last.where,
                   det_point_names[story_last.point]);
    story_line(line, true); /* nobody does that unasked */
    story_last.deviations = s->s_result->r_ndeviations;
}
