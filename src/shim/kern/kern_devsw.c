/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kern_devsw.c - the device switch, devstrat, and open devices for kernel callers (fp_*).
 *
 * The switch has one slot per major number. A slot holds a copy of the driver's table and a
 * pointer to it, published last: devstrat reads the pointer without a lock, which is safe since
 * the copy is written only while the pointer is NULL, and a driver may be removed only when nobody
 * has it open. The lock is for those who change slots and count files.
 *
 * A struct file is allocated at open and freed at close. Every call checks a magic number first, so
 * that a stale file pointer is an EBADF in all but the unluckiest case and not a jump into nowhere.
 *
 * Opens and closes of one device number come to its driver one at a time, and d_close only when the
 * last file goes, or when the first open has failed: then nobody has it open either. So a driver
 * needs no count of its own and no rule for an open that meets a close. Rejected: letting opens run
 * side by side and counting those under way; whoever fails last would then have to close for
 * somebody else. A driver that says DEV_EACHCLOSE gets every close, at once and beside opens, and
 * tells files apart by chan.
 *
 * Does not contain: the drivers; what d_open's arguments mean to them.
 */
#include "kern_impl.h"

#define KERN_FILE_MAGIC 0xf11eu

struct file {
    uint32_t f_magic;
    devno_t f_devno;
    unsigned long f_flag; /* DREAD, DWRITE ... as opened */
    long f_chan;          /* channame, or with DEV_EACHCLOSE the file itself */
    const struct devsw *f_dsw;
    /* Under kern_devsw_lock; drivers with DEV_EACHCLOSE are counted only. */
    struct file *f_next; /* sl_head */
    bool f_busy;         /* inside d_open or d_close */
};

struct kern_slot {
    const struct devsw *_Atomic sl_dsw; /* NULL: free */
    struct devsw sl_copy;
    /* Under kern_devsw_lock. */
    uint32_t sl_files;    /* open, or waiting to be */
    struct file *sl_head; /* those whose last close matters */
};

static struct kern_slot kern_slots[DEVSW_MAJORS];
static struct shim_lock kern_devsw_lock;
static struct shim_event kern_devsw_event; /* a file is no longer busy */
static uint32_t kern_devsw_sleepers;
static uint32_t kern_files;

int sck_devsw_init(void)
{
    kern_files = 0;
    kern_devsw_sleepers = 0;
    return shim_lock_init(&kern_devsw_lock, SHIM_RANK_KERN, "kern devsw");
}

void sck_devsw_fini(void)
{
    for (unsigned major = 0; major < DEVSW_MAJORS; major++)
        if (atomic_load(&kern_slots[major].sl_dsw))
            shim_panic("kern_fini: major %u is still in the device switch", major);
    SHIM_ASSERT(kern_devsw_sleepers == 0);
    SHIM_ASSERT(kern_files == 0);
    shim_lock_fini(&kern_devsw_lock);
}

/* ---------------------------------------------------------------- the switch */

const struct devsw *devsw_find(devno_t devno)
{
    unsigned major = SC_MAJOR(devno);

    if (SC_UNLIKELY(major >= DEVSW_MAJORS))
        return NULL;
    return atomic_load_explicit(&kern_slots[major].sl_dsw, memory_order_acquire);
}

/* Context: process. Locks: takes and gives back the switch's. 0, EINVAL, EEXIST. */
int devswadd(devno_t devno, const struct devsw *dswp)
{
    unsigned major = SC_MAJOR(devno);
    int rc = 0;

    if (major >= DEVSW_MAJORS || !dswp)
        return EINVAL;
    shim_lock_enter(&kern_devsw_lock);
    if (atomic_load_explicit(&kern_slots[major].sl_dsw, memory_order_relaxed)) {
        rc = EEXIST;
    } else {
        SHIM_ASSERT(kern_slots[major].sl_files == 0);
        kern_slots[major].sl_copy = *dswp;
        atomic_store_explicit(&kern_slots[major].sl_dsw, &kern_slots[major].sl_copy, memory_order_release);
    }
    shim_lock_exit(&kern_devsw_lock);
    return rc;
}

/* Context: process. Locks: as above. 0, EINVAL, ENODEV, EEXIST (open). */
int devswdel(devno_t devno)
{
    unsigned major = SC_MAJOR(devno);
    int rc = 0;

    if (major >= DEVSW_MAJORS)
        return EINVAL;
    shim_lock_enter(&kern_devsw_lock);
    if (!atomic_load_explicit(&kern_slots[major].sl_dsw, memory_order_relaxed))
        rc = ENODEV;
    else if (kern_slots[major].sl_files)
        rc = EEXIST;
    else
        atomic_store_explicit(&kern_slots[major].sl_dsw, NULL, memory_order_release);
    shim_lock_exit(&kern_devsw_lock);
    return rc;
}

/*
 * Call a strategy routine. Context: any. Locks: none held (a driver's locks are not to be nested in
 * another's). Owns: bp is the driver's on 0. Requirement: AIX-03.
 */
int devstrat(struct buf *bp)
{
    const struct devsw *dsw = devsw_find(bp->b_dev);
    struct shim_self *self;

    if (SC_UNLIKELY(!dsw || !dsw->d_strategy))
        return ENODEV;
    if (SC_UNLIKELY(!bp->b_iodone))
        return EINVAL;
    self = kern_strategy_enter();
    if (SC_UNLIKELY(self && self->self_nlocks != 0))
        shim_panic("devstrat: called with %s held", self->self_locks[0]->sl_name);
    shim_sched_point();
    dsw->d_strategy(bp);
    kern_strategy_leave(self);
    return 0;
}

/* ---------------------------------------------------------------- open devices */

static bool kern_file_is_open(const struct file *fp) { return fp && fp->f_magic == KERN_FILE_MAGIC; }

/*
 * The thread turns to a device in another way: what it has held back comes first, and nothing is held back
 * inside. Returns what kern_file_after() gets. Context: process, no lock held.
 */
static struct kern_plug *kern_file_before(void)
{
    struct shim_self *self = shim_self();
    struct kern_plug *plug = self->self_plug;

    if (SC_UNLIKELY(plug != NULL)) {
        sck_plug_pull(self);
        self->self_plug = NULL;
    }
    return plug;
}

static void kern_file_after(struct kern_plug *plug)
{
    if (SC_UNLIKELY(plug != NULL))
        shim_self()->self_plug = plug;
}

/*
 * The other file of this device that is inside its driver now (`busy`), or any other file of it.
 * Locks: kern_devsw_lock.
 */
static bool kern_file_other_locked(const struct kern_slot *slot, const struct file *fp, bool busy)
{
    for (const struct file *f = slot->sl_head; f != NULL; f = f->f_next)
        if (f != fp && f->f_devno == fp->f_devno && (!busy || f->f_busy))
            return true;
    return false;
}

/*
 * Be the only one inside the driver for this device. Context: process. Locks: kern_devsw_lock, dropped
 * while asleep.
 */
static void kern_file_turn_locked(const struct kern_slot *slot, struct file *fp)
{
    while (kern_file_other_locked(slot, fp, true)) {
        kern_devsw_sleepers++;
        (void)shim_wait(&kern_devsw_event, &kern_devsw_lock, UINT64_MAX);
        kern_devsw_sleepers--;
    }
    SHIM_ASSERT(!fp->f_busy && fp->f_magic != KERN_FILE_MAGIC);
    fp->f_busy = true;
}

/* Out of the driver: the next may go in. Locks: kern_devsw_lock. */
static void kern_file_turn_over_locked(struct file *fp)
{
    SHIM_ASSERT(fp->f_busy && lock_mine(&kern_devsw_lock));
    fp->f_busy = false;
    if (kern_devsw_sleepers != 0)
        shim_wake(&kern_devsw_event);
}

/* Count a new file against its major, so that the driver stays, and take a turn. 0, EINVAL, EMFILE. */
static int kern_file_hold(struct file *fp)
{
    struct kern_slot *slot = &kern_slots[SC_MAJOR(fp->f_devno)];
    int rc = 0;

    shim_lock_enter(&kern_devsw_lock);
    fp->f_dsw = atomic_load_explicit(&slot->sl_dsw, memory_order_relaxed);
    if (!fp->f_dsw) {
        rc = EINVAL;
    } else if (kern_files == KERN_FILES_MAX) {
        rc = EMFILE;
    } else {
        slot->sl_files++;
        kern_files++;
        if (fp->f_dsw->d_opts & DEV_EACHCLOSE) {
            fp->f_chan = (long)(intptr_t)fp;
        } else {
            kern_file_turn_locked(slot, fp);
            fp->f_next = slot->sl_head;
            slot->sl_head = fp;
        }
    }
    shim_lock_exit(&kern_devsw_lock);
    return rc;
}

/* The file is gone: off the list and out of the counts. It must not be open any more. */
static void kern_file_release(struct file *fp)
{
    struct kern_slot *slot = &kern_slots[SC_MAJOR(fp->f_devno)];
    struct file **at = &slot->sl_head;

    SHIM_ASSERT(fp->f_magic != KERN_FILE_MAGIC);
    shim_lock_enter(&kern_devsw_lock);
    SHIM_ASSERT(slot->sl_files > 0 && kern_files > 0);
    slot->sl_files--;
    kern_files--;
    if (!(fp->f_dsw->d_opts & DEV_EACHCLOSE)) {
        while (*at != fp)
            at = &(*at)->f_next;
        *at = fp->f_next;
        kern_file_turn_over_locked(fp);
    }
    shim_lock_exit(&kern_devsw_lock);
    shim_free(fp, sizeof(*fp), 0, SHIM_TAG_KERN);
}

/* Does the driver hear of this close? Takes a turn; the caller calls d_close and kern_file_release(). */
static bool kern_file_is_last(struct file *fp, bool turn)
{
    const struct kern_slot *slot = &kern_slots[SC_MAJOR(fp->f_devno)];
    bool last;

    if (fp->f_dsw->d_opts & DEV_EACHCLOSE)
        return true;
    shim_lock_enter(&kern_devsw_lock);
    if (turn)
        kern_file_turn_locked(slot, fp);
    last = !kern_file_other_locked(slot, fp, false);
    shim_lock_exit(&kern_devsw_lock);
    return last;
}

/* Context: process (EINVAL elsewhere), no lock held. Owns: *fpp is the caller's until fp_close. */
int fp_opendev(devno_t devno, unsigned long devflag, void *channame, int ext, struct file **fpp)
{
    struct kern_plug *plug;
    struct file *fp;
    int rc;

    *fpp = NULL;
    if (!kern_at_process_level() || SC_MAJOR(devno) >= DEVSW_MAJORS)
        return EINVAL;
    fp = shim_alloc(sizeof(*fp), 0, SHIM_TAG_KERN);
    if (!fp)
        return ENOMEM;
    fp->f_devno = devno;
    fp->f_flag = devflag;
    fp->f_chan = (long)(intptr_t)channame;
    rc = kern_file_hold(fp);
    if (rc) {
        shim_free(fp, sizeof(*fp), 0, SHIM_TAG_KERN);
        return rc;
    }
    plug = kern_file_before();
    rc = fp->f_dsw->d_open ? fp->f_dsw->d_open(devno, devflag, fp->f_chan, ext) : ENODEV;
    kern_file_after(plug);
    if (rc) {
        if (!(fp->f_dsw->d_opts & DEV_EACHCLOSE) && fp->f_dsw->d_open && fp->f_dsw->d_close &&
            kern_file_is_last(fp, false))
            (void)fp->f_dsw->d_close(devno, fp->f_chan);
        kern_file_release(fp);
        return rc;
    }
    if (!(fp->f_dsw->d_opts & DEV_EACHCLOSE)) {
        shim_lock_enter(&kern_devsw_lock);
        kern_file_turn_over_locked(fp);
        shim_lock_exit(&kern_devsw_lock);
    }
    SHIM_ASSERT(!fp->f_busy && fp->f_dsw != NULL);
    fp->f_magic = KERN_FILE_MAGIC;
    *fpp = fp;
    return 0;
}

/* Context: process (EINVAL elsewhere), no lock held. The file is gone whatever the driver answers. */
int fp_close(struct file *fp)
{
    bool last;
    int rc = 0;

    if (!kern_at_process_level())
        return EINVAL;
    if (!kern_file_is_open(fp))
        return EBADF;
    fp->f_magic = 0;
    last = kern_file_is_last(fp, true);
    if (last && fp->f_dsw->d_close) {
        struct kern_plug *plug = kern_file_before();

        rc = fp->f_dsw->d_close(fp->f_devno, fp->f_chan);
        kern_file_after(plug);
    }
    kern_file_release(fp);
    return rc;
}

int fp_ioctlx(struct file *fp, unsigned cmd, intptr_t arg, int ext, unsigned long devflag)
{
    struct kern_plug *plug;
    int rc;

    if (!kern_at_process_level())
        return EINVAL;
    if (!kern_file_is_open(fp))
        return EBADF;
    if (!fp->f_dsw->d_ioctl)
        return ENODEV;
    plug = kern_file_before();
    rc = fp->f_dsw->d_ioctl(fp->f_devno, cmd, arg, devflag, fp->f_chan, ext);
    kern_file_after(plug);
    return rc;
}

int fp_ioctl(struct file *fp, unsigned cmd, intptr_t arg, int ext)
{
    if (!kern_file_is_open(fp))
        return EBADF;
    return fp_ioctlx(fp, cmd, arg, ext, fp->f_flag | DKERNEL);
}

/* Context: process (EINVAL elsewhere), no lock held. Owns: the uio stays the caller's and is advanced. */
int fp_rwuio(struct file *fp, enum uio_rw rw, struct uio *uiop, int ext)
{
    const struct devsw *dsw;

    if (!kern_at_process_level())
        return EINVAL;
    if (!kern_file_is_open(fp) || !(fp->f_flag & (rw == UIO_READ ? DREAD : DWRITE)))
        return EBADF;
    dsw = fp->f_dsw;
    uiop->uio_fmode = (uint32_t)fp->f_flag;
    if (rw == UIO_READ)
        return dsw->d_read ? dsw->d_read(fp->f_devno, uiop, fp->f_chan, ext) : ENODEV;
    return dsw->d_write ? dsw->d_write(fp->f_devno, uiop, fp->f_chan, ext) : ENODEV;
}

devno_t fp_getdevno(const struct file *fp) { return kern_file_is_open(fp) ? fp->f_devno : SC_NODEV; }
