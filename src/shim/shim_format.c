/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shim_format.c - text from numbers, without a C library.
 *
 * A subset of printf: %s %c %d %i %u %x %X %p %%, the lengths hh h l ll z j, the flags '-' and
 * '0', widths and precisions as digits or '*'. No floating point and no %n, on purpose: the first
 * must not run in a kernel, the second has only ever been a hole.
 *
 * Does not contain: where the text goes (shim.c).
 */
#include "shim_impl.h"

#include <stdarg.h>

/* Where output goes: counts on past the end, so that the caller learns what was wanted. */
struct shim_out {
    char *out_buf;
    size_t out_size;
    size_t out_len;
};

/* One conversion. */
struct shim_spec {
    bool sp_left;
    bool sp_zero;
    int sp_width;
    int sp_precision; /* -1 none */
    int sp_long;      /* -2 hh, -1 h, 0, 1 l, 2 ll */
};

/* va_list in a struct, since an array type cannot be passed on by address portably. */
struct shim_args {
    va_list ap;
};

#define SHIM_WIDTH_MAX 256

static void shim_out_char(struct shim_out *o, char c)
{
    if (o->out_len + 1 < o->out_size)
        o->out_buf[o->out_len] = c;
    o->out_len++;
}

static void shim_out_pad(struct shim_out *o, char c, int n)
{
    for (; n > 0; n--)
        shim_out_char(o, c);
}

static void shim_out_text(struct shim_out *o, const struct shim_spec *sp, const char *text)
{
    int len = 0;

    if (!text)
        text = "(null)";
    while ((sp->sp_precision < 0 || len < sp->sp_precision) && text[len])
        len++;
    if (!sp->sp_left)
        shim_out_pad(o, ' ', sp->sp_width - len);
    for (int i = 0; i < len; i++)
        shim_out_char(o, text[i]);
    if (sp->sp_left)
        shim_out_pad(o, ' ', sp->sp_width - len);
}

/* `prefix` is "", "-" or "0x"; zero padding goes between it and the digits. */
static void shim_out_number(struct shim_out *o, const struct shim_spec *sp, uint64_t v, unsigned base,
                            const char *digit_set, const char *prefix)
{
    char digits[24];
    int n = 0, len;

    do {
        digits[n++] = digit_set[v % base];
        v /= base;
    } while (v);
    while (n < sp->sp_precision && n < (int)sizeof(digits))
        digits[n++] = '0';
    for (len = n; prefix[len - n]; len++)
        continue;
    if (!sp->sp_left && !(sp->sp_zero && sp->sp_precision < 0))
        shim_out_pad(o, ' ', sp->sp_width - len);
    for (int i = 0; prefix[i]; i++)
        shim_out_char(o, prefix[i]);
    if (sp->sp_zero && !sp->sp_left && sp->sp_precision < 0)
        shim_out_pad(o, '0', sp->sp_width - len);
    while (n > 0)
        shim_out_char(o, digits[--n]);
    if (sp->sp_left)
        shim_out_pad(o, ' ', sp->sp_width - len);
}

static int64_t shim_arg_signed(struct shim_args *args, int length)
{
    if (length >= 2)
        return va_arg(args->ap, long long);
    if (length == 1)
        return va_arg(args->ap, long);
    if (length == -1)
        return (short)va_arg(args->ap, int);
    if (length == -2)
        return (signed char)va_arg(args->ap, int);
    return va_arg(args->ap, int);
}

static uint64_t shim_arg_unsigned(struct shim_args *args, int length)
{
    if (length >= 2)
        return va_arg(args->ap, unsigned long long);
    if (length == 1)
        return va_arg(args->ap, unsigned long);
    if (length == -1)
        return (unsigned short)va_arg(args->ap, unsigned);
    if (length == -2)
        return (unsigned char)va_arg(args->ap, unsigned);
    return va_arg(args->ap, unsigned);
}

/* Digits or '*'; bounded, so that no width can keep us busy. */
static const char *shim_parse_count(const char *fmt, struct shim_args *args, int *count)
{
    int v = 0;

    if (*fmt == '*') {
        v = va_arg(args->ap, int);
        fmt++;
    } else {
        for (; *fmt >= '0' && *fmt <= '9'; fmt++)
            if (v <= SHIM_WIDTH_MAX)
                v = v * 10 + (*fmt - '0');
    }
    *count = v > SHIM_WIDTH_MAX ? SHIM_WIDTH_MAX : v;
    return fmt;
}

/* What stands between '%' and the conversion letter. */
static const char *shim_parse_spec(const char *fmt, struct shim_args *args, struct shim_spec *sp)
{
    *sp = (struct shim_spec){.sp_precision = -1};
    for (; *fmt == '-' || *fmt == '0'; fmt++) {
        if (*fmt == '-')
            sp->sp_left = true;
        else
            sp->sp_zero = true;
    }
    fmt = shim_parse_count(fmt, args, &sp->sp_width);
    if (sp->sp_width < 0) { /* a negative '*' means left */
        sp->sp_left = true;
        sp->sp_width = sp->sp_width < -SHIM_WIDTH_MAX ? SHIM_WIDTH_MAX : -sp->sp_width;
    }
    if (*fmt == '.')
        fmt = shim_parse_count(fmt + 1, args, &sp->sp_precision);
    for (;; fmt++) {
        if (*fmt == 'l')
            sp->sp_long++;
        else if (*fmt == 'h')
            sp->sp_long--;
        else if (*fmt == 'z')
            sp->sp_long = sizeof(size_t) == sizeof(long) ? 1 : 0;
        else if (*fmt == 'j')
            sp->sp_long = sizeof(intmax_t) == sizeof(long) ? 1 : 2;
        else
            return fmt;
    }
}

/* One conversion; returns what follows it. */
static const char *shim_out_conversion(struct shim_out *o, const char *fmt, struct shim_args *args)
{
    static const char lower[] = "0123456789abcdef";
    static const char upper[] = "0123456789ABCDEF";
    struct shim_spec sp;
    int64_t v;

    fmt = shim_parse_spec(fmt, args, &sp);
    switch (*fmt) {
    case 'd':
    case 'i':
        v = shim_arg_signed(args, sp.sp_long);
        shim_out_number(o, &sp, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, lower, v < 0 ? "-" : "");
        break;
    case 'u':
        shim_out_number(o, &sp, shim_arg_unsigned(args, sp.sp_long), 10, lower, "");
        break;
    case 'x':
    case 'X':
        shim_out_number(o, &sp, shim_arg_unsigned(args, sp.sp_long), 16, *fmt == 'x' ? lower : upper, "");
        break;
    case 'p':
        shim_out_number(o, &sp, (uintptr_t)va_arg(args->ap, void *), 16, lower, "0x");
        break;
    case 's':
        shim_out_text(o, &sp, va_arg(args->ap, const char *));
        break;
    case 'c': {
        char text[2] = {(char)va_arg(args->ap, int), 0};

        shim_out_text(o, &sp, text);
        break;
    }
    case '%':
        shim_out_char(o, '%');
        break;
    default: /* unknown: shown as it stands, so that the mistake can be seen */
        shim_out_char(o, '%');
        return fmt;
    }
    return fmt + 1;
}

/* Context: any. Always terminates the text when size is not 0; returns the length wanted. */
int shim_vformat(char *out, size_t size, const char *fmt, __builtin_va_list ap)
{
    struct shim_out o = {.out_buf = out, .out_size = size};
    struct shim_args args;

    va_copy(args.ap, ap);
    while (*fmt) {
        if (*fmt == '%')
            fmt = shim_out_conversion(&o, fmt + 1, &args);
        else
            shim_out_char(&o, *fmt++);
    }
    va_end(args.ap);
    if (size)
        out[o.out_len < size ? o.out_len : size - 1] = '\0';
    return (int)o.out_len;
}

int shim_format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = shim_vformat(out, size, fmt, ap);
    va_end(ap);
    return n;
}
