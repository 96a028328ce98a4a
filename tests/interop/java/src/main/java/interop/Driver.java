package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The official client on a leash: reads calls from standard input, runs each in a thread of its own, and prints facts,
 * not verdicts, to standard output. One JVM so serves many tests, which judge what they read.
 *
 * <pre>
 * call:   ID TAB COMMAND (TAB KEY=VALUE)*
 * answer: @ID TAB KIND (TAB KEY=VALUE)*    any number of them, the last of kind .ok or .fail
 * </pre>
 *
 * In values, a backslash, tab, line feed and carriage return are written \\ \t \n \r.
 */
public final class Driver {
    interface Command {
        void run(Call call) throws Throwable;
    }

    /** For single requests: the client's own 3 s are short on a busy machine. */
    static final int TIMEOUT_MS = 30_000;

    /** How often routes are asked for: with the client's own 30 s, tests of comings and goings would take minutes. */
    static final int ROUTE_REFRESH_MS = 2_000;

    private static final Map<String, Command> COMMANDS = Map.ofEntries(
        Map.entry("send", Send::run),
        Map.entry("close-producer", Send::close),
        Map.entry("push", Push::run),
        Map.entry("assigned", Push::assigned),
        Map.entry("stop", Push::stop),
        Map.entry("pull", Pull::run),
        Map.entry("pull-offset", Pull::offset),
        Map.entry("lite-pull", LitePull::run),
        Map.entry("offsets", Lookup::offsets),
        Map.entry("view", Lookup::view),
        Map.entry("query", Lookup::query),
        Map.entry("mqadmin", AdminTool::run));

    public static void main(String[] args) throws Exception {
        Haste.start();
        ExecutorService threads = Executors.newCachedThreadPool();
        BufferedReader calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = calls.readLine(); line != null; line = calls.readLine()) {
            Call call = Call.parse(line);
            threads.execute(() -> answer(call));
        }
        // The tests are gone: no reason to say good-bye to anybody.
        Runtime.getRuntime().halt(0);
    }

    private static void answer(Call call) {
        try {
            Command command = COMMANDS.get(call.command);
            if (command == null) {
                throw new IllegalArgumentException("no such command: " + call.command);
            }
            command.run(call);
            call.say(".ok");
        } catch (Throwable e) {
            e.printStackTrace();
            call.say(".fail", Failure.fields(e));
        }
    }
}
