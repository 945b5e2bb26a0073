package dev.semel.driver;
final class Echo {
 static com.google.gson.JsonObject bench(Command c) { throw new UnsupportedOperationException("later"); }
}
