/** Clocks are read for `%ROUTE_RESOLUTION_TIME_US%` only where a format has it. Per thread. */
export const routeResolutionTimes = { areWanted: false };
