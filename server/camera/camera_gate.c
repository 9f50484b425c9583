#include "server/camera/camera_gate.h"

#include <stddef.h>

#include "config/clock.h"

/* The loop's own. */
static struct gate {
    struct camera_gate_turn *first_waiting, *last_waiting;
    struct camera_gate_turn *first_holding, *last_holding; /* in the order of `since_ns` */
    struct camera_gate_stats stats;
} gate;

uint64_t camera_gate_host(const char *host, uint16_t port)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ port; /* FNV-1a */

    for (; *host != '\0'; host++)
        hash = (hash ^ (unsigned char)*host) * UINT64_C(1099511628211);
    return hash;
}

static void append(struct camera_gate_turn *turn, struct camera_gate_turn **first,
                   struct camera_gate_turn **last)
{
    turn->next   = NULL;
    turn->before = *last;
    if (*last != NULL)
        (*last)->next = turn;
    else
        *first = turn;
    *last = turn;
}

static void take_out(struct camera_gate_turn *turn, struct camera_gate_turn **first,
                     struct camera_gate_turn **last)
{
    if (turn->before != NULL)
        turn->before->next = turn->next;
    else
        *first = turn->next;
    if (turn->next != NULL)
        turn->next->before = turn->before;
    else
        *last = turn->before;
}

static void leave_list(struct camera_gate_turn *turn)
{
    if (turn->state == CAMERA_GATE_WAITING) {
        take_out(turn, &gate.first_waiting, &gate.last_waiting);
        gate.stats.waiting--;
    } else if (turn->state == CAMERA_GATE_HOLDING) {
        take_out(turn, &gate.first_holding, &gate.last_holding);
        gate.stats.holding--;
    }
    turn->state = CAMERA_GATE_OUTSIDE;
}

static void end_old_turns(int64_t now_ns)
{
    while (gate.first_holding != NULL &&
           now_ns - gate.first_holding->since_ns >= CAMERA_GATE_HOLD_MS * NS_PER_MS)
        leave_list(gate.first_holding);
}

static unsigned holding_at(uint64_t host)
{
    unsigned count = 0;

    for (const struct camera_gate_turn *turn = gate.first_holding; turn != NULL; turn = turn->next)
        count += turn->host == host;
    return count;
}

/* Those at the front for other hosts that are full are passed by. */
static bool is_first_for_host(const struct camera_gate_turn *turn)
{
    const struct camera_gate_turn *waiting = gate.first_waiting;

    while (waiting != NULL && waiting != turn && waiting->host != turn->host)
        waiting = waiting->next;
    return waiting == NULL || waiting == turn;
}

bool camera_gate_enter(struct camera_gate_turn *turn, int64_t now_ns, unsigned *wait_ms)
{
    int64_t left_ns;

    end_old_turns(now_ns);
    if (turn->state == CAMERA_GATE_HOLDING)
        return true;
    if (gate.stats.holding < CAMERA_GATE_TURNS && holding_at(turn->host) < CAMERA_GATE_HOST_TURNS &&
        is_first_for_host(turn)) {
        leave_list(turn);
        append(turn, &gate.first_holding, &gate.last_holding);
        turn->state    = CAMERA_GATE_HOLDING;
        turn->since_ns = now_ns;
        gate.stats.holding++;
        return true;
    }
    if (turn->state == CAMERA_GATE_OUTSIDE) {
        append(turn, &gate.first_waiting, &gate.last_waiting);
        turn->state = CAMERA_GATE_WAITING;
        gate.stats.waiting++;
        gate.stats.delayed++;
    }
    left_ns  = gate.first_holding == NULL
                   ? 0
                   : gate.first_holding->since_ns + CAMERA_GATE_HOLD_MS * NS_PER_MS - now_ns;
    *wait_ms = (unsigned)(left_ns / NS_PER_MS) + 1;
    return false;
}

void camera_gate_leave(struct camera_gate_turn *turn)
{
    bool     held  = turn->state == CAMERA_GATE_HOLDING;
    unsigned woken = 0;

    leave_list(turn);
    if (!held)
        return;
    /* The first of the same host, and the first of all: one of them has its turn. */
    for (struct camera_gate_turn *waiting = gate.first_waiting; waiting != NULL && woken < 2;
         waiting                          = waiting->next) {
        if (waiting == gate.first_waiting || waiting->host == turn->host) {
            waiting->wake(waiting->arg);
            woken += waiting->host == turn->host ? 2 : 1;
        }
    }
}

struct camera_gate_stats camera_gate_stats(void)
{
    return gate.stats;
}
