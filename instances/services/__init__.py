"""One verb each: every service takes `acting_user`, asks policy, and writes state, audit and wake-up in one go."""
