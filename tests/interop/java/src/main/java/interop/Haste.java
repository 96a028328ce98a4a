package interop;

import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.impl.MQClientManager;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.remoting.RemotingClient;
import org.apache.rocketmq.remoting.netty.NettyEvent;
import org.apache.rocketmq.remoting.netty.NettyEventType;
import org.apache.rocketmq.remoting.netty.NettyRemotingClient;

/**
 * Shortens the end of official clients. Each waits in its shutdown for a thread that looks up from its queue of events
 * every 3 s only; with a client for nearly every call that would be most of the tests' time. An event that means nothing
 * makes it look at once. (An interrupt would too, but may hit a heartbeat and break the connection of a living client.)
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
                    MQClientManager.getInstance().getFactoryTable().values().forEach(Haste::wake);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void wake(MQClientInstance client) {
        RemotingClient remoting = client.getMQClientAPIImpl().getRemotingClient();
        if (remoting instanceof NettyRemotingClient) {
            ((NettyRemotingClient) remoting).putNettyEvent(new NettyEvent(NettyEventType.IDLE, "", null));
        }
    }

    private Haste() {
    }
}
