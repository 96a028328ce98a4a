package interop;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * mqadmin: runs the official tool with the arguments {@code 0}, {@code 1}, … and says {@code output}. Its commands print
 * to the process's streams, so one runs at a time.
 */
final class AdminTool extends MQAdminStartup {
    static synchronized void run(Call call) throws Exception {
        List<String> args = new ArrayList<>();
        for (int i = 0; call.has(String.valueOf(i)); i++) {
            args.add(call.text(String.valueOf(i)));
        }
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream captured = new ByteArrayOutputStream();
        PrintStream capture = new PrintStream(captured, true, StandardCharsets.UTF_8);
        System.setOut(capture);
        System.setErr(capture);
        try {
            // Command objects of an earlier run hold clients that are shut down.
            SUB_COMMANDS.clear();
            Haste.during(() -> main0(args.toArray(new String[0]), null));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
        call.say("output", "text", captured.toString(StandardCharsets.UTF_8));
    }
}
