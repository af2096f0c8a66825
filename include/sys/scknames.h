/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scknames.h - what the AIX names are called in the linker.
 *
 * A driver says iodone() and xmalloc(), as AIX does. A program around it may have an xmalloc() of
 * its own, as most GNU programs do, and a linker knows one of each name only. So every function
 * of ours that carries an AIX name is sck_<name> (kernel services) or dd_<name> (the disk driver)
 * in the object code, and the macros below translate. No source has to know.
 *
 * A source file that must say both, ours and its own, defines SCPAIR_NO_AIX_NAMES before it
 * includes anything of scpair's: then the headers leave no such macro behind, and ours are reached
 * by their linker names.
 *
 * No include guard: each header that declares one of them includes this file before its
 * declarations, and once more at its end, which takes the macros away if that was asked for.
 *
 * Does not contain: a declaration. A new service has one line in each half.
 */
#if defined(SCPAIR_NO_AIX_NAMES) && defined(iodone)

/* kservices.h: the device switch and open devices */
#undef devswadd
#undef devswdel
#undef devsw_find
#undef devstrat
#undef devstrategy
#undef fp_opendev
#undef fp_close
#undef fp_ioctl
#undef fp_ioctlx
#undef fp_rwuio
#undef fp_getdevno
/* kservices.h: block I/O */
#undef iodone
#undef iowait
#undef iodone_wakeup
/* kservices.h: locks, sleeping, timers */
#undef lock_alloc
#undef lock_free
#undef lock_mine
#undef e_sleep_thread
#undef e_timedsleep
#undef e_wakeup
#undef thread_self
#undef w_init
#undef w_start
#undef w_stop
#undef w_clear
#undef talloc
#undef tstart
#undef tstop
#undef tfree
/* kservices.h: memory, user memory, errors */
#undef xmalloc
#undef xmfree
#undef kcopyin
#undef kcopyout
#undef errsave
#undef errlog_read
#undef trchook
#undef trc_start
#undef trc_stop
#undef trc_read
#undef trc_query
/* kservices.h: ours */
#undef kern_at_process_level
#undef kern_now_ns
#undef kern_format
#undef kern_tunable
#undef kern_plug_begin
#undef kern_plug_end
#undef kern_plug_join
#undef kern_poller_add
#undef kern_poller_remove
#undef kern_assert_failed
#undef kern_init
#undef kern_fini
/* scuio.h */
#undef uiomove
#undef uphysio
/* scdisk.h */
#undef scdisk_config

#elif !defined(iodone)

/* kservices.h: the device switch and open devices */
#define devswadd              sck_devswadd
#define devswdel              sck_devswdel
#define devsw_find            sck_devsw_find
#define devstrat              sck_devstrat
#define devstrategy           sck_devstrat
#define fp_opendev            sck_fp_opendev
#define fp_close              sck_fp_close
#define fp_ioctl              sck_fp_ioctl
#define fp_ioctlx             sck_fp_ioctlx
#define fp_rwuio              sck_fp_rwuio
#define fp_getdevno           sck_fp_getdevno
/* kservices.h: block I/O */
#define iodone                sck_iodone
#define iowait                sck_iowait
#define iodone_wakeup         sck_iodone_wakeup
/* kservices.h: locks, sleeping, timers */
#define lock_alloc            sck_lock_alloc
#define lock_free             sck_lock_free
#define lock_mine             sck_lock_mine
#define e_sleep_thread        sck_e_sleep_thread
#define e_timedsleep          sck_e_timedsleep
#define e_wakeup              sck_e_wakeup
#define thread_self           sck_thread_self
#define w_init                sck_w_init
#define w_start               sck_w_start
#define w_stop                sck_w_stop
#define w_clear               sck_w_clear
#define talloc                sck_talloc
#define tstart                sck_tstart
#define tstop                 sck_tstop
#define tfree                 sck_tfree
/* kservices.h: memory, user memory, errors */
#define xmalloc               sck_xmalloc
#define xmfree                sck_xmfree
#define kcopyin               sck_kcopyin
#define kcopyout              sck_kcopyout
#define errsave               sck_errsave
#define errlog_read           sck_errlog_read
#define trchook               sck_trchook
#define trc_start             sck_trc_start
#define trc_stop              sck_trc_stop
#define trc_read              sck_trc_read
#define trc_query             sck_trc_query
/* kservices.h: ours */
#define kern_at_process_level sck_at_process_level
#define kern_now_ns           sck_now_ns
#define kern_format           sck_format
#define kern_tunable          sck_tunable
#define kern_plug_begin       sck_plug_begin
#define kern_plug_end         sck_plug_end
#define kern_plug_join        sck_plug_join
#define kern_poller_add       sck_poller_add
#define kern_poller_remove    sck_poller_remove
#define kern_assert_failed    sck_assert_failed
#define kern_init             sck_init
#define kern_fini             sck_fini
/* scuio.h */
#define uiomove               sck_uiomove
#define uphysio               sck_uphysio
/* scdisk.h */
#define scdisk_config         dd_scdisk_config

#endif
