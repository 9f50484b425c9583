/* config/assert.h: checks of what only a bug of ours can break; compiled into every build.
 *
 * What the world can break (a file, a network, a model, a user) is handled, not asserted. */
#ifndef SIGHTLINE_CONFIG_ASSERT_H
#define SIGHTLINE_CONFIG_ASSERT_H

#define ASSERT(condition) \
    ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__, __func__))

/* Logs the condition and where it stands, then aborts. A restart continues every count: stopping
 * at once is safer than going on with a broken invariant. */
_Noreturn void assert_failed(const char *condition, const char *file, int line,
                             const char *function);

#endif
