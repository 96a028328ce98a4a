package interop;

import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** One call of the tests: its arguments, and the way back for its answers. */
final class Call {
    /** System.out may be captured by a command; answers never go through it. */
    private static final PrintStream ANSWERS =
        new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);

    final String id;
    final String command;
    private final Map<String, String> args = new LinkedHashMap<>();

    private Call(String id, String command) {
        this.id = id;
        this.command = command;
    }

    static Call parse(String line) {
        String[] parts = line.split("\t", -1);
        Call call = new Call(parts[0], parts[1]);
        for (int i = 2; i < parts.length; i++) {
            int equals = parts[i].indexOf('=');
            call.args.put(parts[i].substring(0, equals), unescape(parts[i].substring(equals + 1)));
        }
        return call;
    }

    boolean has(String key) {
        return args.containsKey(key);
    }

    String text(String key) {
        String value = args.get(key);
        if (value == null) {
            throw new IllegalArgumentException(command + " needs " + key);
        }
        return value;
    }

    String text(String key, String otherwise) {
        return args.getOrDefault(key, otherwise);
    }

    long number(String key, long otherwise) {
        return has(key) ? Long.parseLong(text(key)) : otherwise;
    }

    /** The arguments whose keys start with {@code prefix}, which is cut off. */
    Map<String, String> below(String prefix) {
        Map<String, String> found = new LinkedHashMap<>();
        args.forEach((key, value) -> {
            if (key.startsWith(prefix)) {
                found.put(key.substring(prefix.length()), value);
            }
        });
        return found;
    }

    void say(String kind, Object... fields) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < fields.length; i += 2) {
            map.put((String) fields[i], fields[i + 1]);
        }
        say(kind, map);
    }

    void say(String kind, Map<String, ?> fields) {
        StringBuilder line = new StringBuilder("@").append(id).append('\t').append(kind);
        fields.forEach((key, value) -> line.append('\t').append(key).append('=').append(escape(String.valueOf(value))));
        line.append('\n');
        synchronized (ANSWERS) {
            ANSWERS.print(line);
            ANSWERS.flush();
        }
    }

    private static String escape(String text) {
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r");
    }

    private static String unescape(String text) {
        StringBuilder plain = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c != '\\') {
                plain.append(c);
                continue;
            }
            char escaped = text.charAt(++i);
            plain.append(escaped == 't' ? '\t' : escaped == 'n' ? '\n' : escaped == 'r' ? '\r' : escaped);
        }
        return plain.toString();
    }
}
