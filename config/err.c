#include "config/err.h"

const char *err_text(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define X(name, number, text, status) \
    case name:                        \
        return text;
        ERR_TABLE(X)
#undef X
    default:
        return "unknown error";
    }
}

int err_http_status(int code)
{
    switch (code) {
    case 0:
        return 200;
#define X(name, number, text, status) \
    case name:                        \
        return status;
        ERR_TABLE(X)
#undef X
    default:
        return 500;
    }
}
