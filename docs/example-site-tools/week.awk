# One invented week of weather at Brinsö: 14 to 20 November 2026, a reading
# every half hour, with a gale in the night to the 18th. Fixed seed, so the
# numbers (and the text of the log, which quotes them) never change.
#
#   awk -v form=json -f week.awk >week.json
#   awk -v form=csv  -f week.awk >week.csv

# A generator of our own: awk's rand() differs between implementations.
function noise() { seed = (seed * 16807) % 2147483647; return seed / 2147483647 - 0.5 }
function bump(x, centre, width) { x = (x - centre) / width; return exp(-x * x) }
function list(name, values, digits, last,    i) {
    printf "  \"%s\": [", name
    for (i = 0; i < count; i++) printf "%s%.*f", (i ? "," : ""), digits, values[i]
    printf "]%s\n", (last ? "" : ",")
}

BEGIN {
    seed = 20261114; count = 7 * 48; pi = 3.14159265
    for (i = 0; i < count; i++) {
        day = i / 48
        drift = 0.97 * drift + 0.5 * noise()
        swing = 0.9 * swing + noise()
        pressure[i] = 1019 + 3 * sin(day * 1.3) - 44 * bump(day, 4.02, 0.55) - 9 * bump(day, 5.6, 0.5) + 0.3 * drift
        wind[i] = 5.2 + 2.1 * sin(day * 2.2 + 1) + 17 * bump(day, 4.05, 0.33) + 5 * bump(day, 5.7, 0.3) + 0.7 * swing
        if (wind[i] < 0.4) wind[i] = 0.4
        gust[i] = wind[i] * (1.28 + 0.18 * (noise() + 0.5)) + 0.6
        from[i] = (215 + 20 * sin(day * 1.7) - 60 * bump(day, 3.75, 0.35) + 95 * bump(day, 4.45, 0.4) + 8 * swing + 360) % 360
        air[i] = 5.1 + 1.5 * sin((day - 0.38) * 2 * pi) + 2.6 * bump(day, 3.8, 0.4) - 3.4 * bump(day, 4.9, 0.7) + 0.5 * drift
    }
    if (form == "csv") {
        print "time_utc,pressure_hpa,wind_m_s,gust_m_s,wind_from_deg,air_c"
        for (i = 0; i < count; i++)
            printf "2026-11-%02dT%02d:%02d:00Z,%.1f,%.1f,%.1f,%.0f,%.1f\n", 14 + int(i / 48), int(i % 48 / 2), i % 2 * 30, pressure[i], wind[i], gust[i], from[i], air[i]
        exit
    }
    print "{\n  \"station\": \"Brinsö\",\n  \"start\": \"2026-11-14T00:00:00Z\",\n  \"step_seconds\": 1800,"
    list("pressure_hpa", pressure, 1); list("wind_m_s", wind, 1); list("gust_m_s", gust, 1)
    list("wind_from_deg", from, 0); list("air_c", air, 1, 1)
    print "}"
}
