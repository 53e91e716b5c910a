/* Reads one number a line, runs a time step of the network for each, and prints what comes out. */
#include <stdio.h>

#include "sensor.h"

int main(void)
{
    static struct sensor s;
    float x[SENSOR_IN], y[SENSOR_OUT];
    sensor_init(&s);
    while (scanf("%f", x) == 1) {
        sensor_step(&s, x, y);
        printf("%.9g\n", (double)y[0]);
    }
    return 0;
}
