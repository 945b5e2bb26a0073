// Where events go.
package dev.semel.driver;

import com.google.gson.JsonObject;

/** Writes a line of the driver's output. */
interface Print {
    void line(JsonObject line);
}
