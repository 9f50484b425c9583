/* server/count/kalman.c: see kalman.h. */
#include "server/count/kalman.h"

void kalman_init(struct kalman *kalman, float value, float value_sd, float speed, float speed_sd)
{
    kalman->value = value;
    kalman->speed = speed;
    kalman->p00   = value_sd * value_sd;
    kalman->p01   = 0.0F;
    kalman->p11   = speed_sd * speed_sd;
}

void kalman_predict(struct kalman *kalman, float seconds, float acceleration)
{
    float t = seconds, q = acceleration;

    kalman->value += kalman->speed * t;
    kalman->p00 += t * (2.0F * kalman->p01 + t * kalman->p11) + q * t * t * t / 3.0F;
    kalman->p01 += t * kalman->p11 + q * t * t / 2.0F;
    kalman->p11 += q * t;
}

void kalman_update(struct kalman *kalman, float value, float noise)
{
    float innovation = value - kalman->value;
    float variance   = kalman->p00 + noise;
    float gain_value = kalman->p00 / variance, gain_speed = kalman->p01 / variance;

    kalman->value += gain_value * innovation;
    kalman->speed += gain_speed * innovation;
    kalman->p11 -= gain_speed * kalman->p01;
    kalman->p01 *= 1.0F - gain_value;
    kalman->p00 *= 1.0F - gain_value;
}
