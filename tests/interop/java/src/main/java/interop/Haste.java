package interop;

import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Shortens the end of official clients. Each waits in its shutdown for a thread that looks up from its queue every 3 s
 * only; with a client for nearly every call that would be most of the tests' time. The thread takes an interrupt for a
 * failed look and sees at once that it is to end.
 */
final class Haste {
    interface Work {
        void run() throws Exception;
    }

    private static final AtomicInteger ENDING = new AtomicInteger();

    /** Runs what ends a client, or contains that. */
    static void during(Work work) throws Exception {
        ENDING.incrementAndGet();
        try {
            work.run();
        } finally {
            ENDING.decrementAndGet();
        }
    }

    static void start() {
        Thread thread = new Thread(Haste::loop, "Haste");
        thread.setDaemon(true);
        thread.start();
    }

    private static void loop() {
        try {
            for (;;) {
                Thread.sleep(20);
                if (ENDING.get() > 0) {
                    wakePollers();
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void wakePollers() {
        Map<Thread, StackTraceElement[]> stacks = Thread.getAllStackTraces();
        boolean joining = stacks.values().stream().anyMatch(stack -> calls(stack, "ServiceThread", "shutdown"));
        if (!joining) {
            return;
        }
        stacks.forEach((thread, stack) -> {
            if (thread.getName().contains("NettyEventExecutor") && calls(stack, "LinkedBlockingQueue", "poll")) {
                thread.interrupt();
            }
        });
    }

    private static boolean calls(StackTraceElement[] stack, String type, String method) {
        for (StackTraceElement call : stack) {
            if (call.getClassName().endsWith(type) && call.getMethodName().equals(method)) {
                return true;
            }
        }
        return false;
    }

    private Haste() {
    }
}
