/* config/hexadecimal.h: the digits of escapes and fingerprints. Any thread. */
#ifndef SIGHTLINE_CONFIG_HEXADECIMAL_H
#define SIGHTLINE_CONFIG_HEXADECIMAL_H

/* 0..15, of either case; -1: this is no such digit. */
static inline int hexadecimal_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that two digits stand for, 0..255; -1: they are none. The second is not read when the
 * first is none, so that a text's NUL may stand there. */
static inline int hexadecimal_byte(const char *digits)
{
    int high = hexadecimal_digit(digits[0]);
    int low  = high < 0 ? -1 : hexadecimal_digit(digits[1]);

    return low < 0 ? -1 : high * 16 + low;
}

#endif
