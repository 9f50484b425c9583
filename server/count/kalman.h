/* server/count/kalman.h: a constant-velocity Kalman filter for one coordinate.
 *
 * A box is filtered as four coordinates that know nothing of each other (centre x and y, width,
 * height): with diagonal noise the filter of eight states falls apart into four of two, which need
 * no matrix. Time is in seconds: the filter is the same at 5 pictures a second and at 30. */
#ifndef SIGHTLINE_SERVER_COUNT_KALMAN_H
#define SIGHTLINE_SERVER_COUNT_KALMAN_H

struct kalman {
    float value, speed;  /* px, px/s */
    float p00, p01, p11; /* covariance of the two */
};

/* `value_sd` and `speed_sd`: standard deviations of what is known at the start. */
void kalman_init(struct kalman *kalman, float value, float value_sd, float speed, float speed_sd);

/* `acceleration`: power density of the white acceleration, px^2/s^3. */
void kalman_predict(struct kalman *kalman, float seconds, float acceleration);

/* `noise`: variance of the measured value, px^2. */
void kalman_update(struct kalman *kalman, float value, float noise);

#endif
