package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * lite-pull: {@code mode} subscribe, or assign all queues and seek to {@code seek} (begin, end or an offset). Polls until
 * {@code expect} messages came or {@code timeout} ms passed, commits, and says {@code committed} for each queue.
 */
final class LitePull {
    static void run(Call call) throws Throwable {
        String topic = call.text("topic");
        DefaultLitePullConsumer client = new DefaultLitePullConsumer(call.text("group"));
        client.setNamesrvAddr(call.text("namesrv"));
        client.setInstanceName("lite-" + call.id);
        client.setPollNameServerInterval(Driver.ROUTE_REFRESH_MS);
        client.setMqClientApiTimeout(Driver.TIMEOUT_MS);
        client.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        client.setAutoCommit(false);
        boolean assign = "assign".equals(call.text("mode", "subscribe"));
        if (!assign) {
            client.subscribe(topic, call.text("filter", "*"));
        }
        client.start();
        try {
            List<MessageQueue> queues = new ArrayList<>(new TreeSet<>(client.fetchMessageQueues(topic)));
            if (assign) {
                client.assign(queues);
                for (MessageQueue queue : queues) {
                    seek(client, queue, call.text("seek", "begin"));
                }
            }
            poll(call, client);
            client.commit();
            for (MessageQueue queue : queues) {
                call.say("committed", "broker", queue.getBrokerName(), "queue", queue.getQueueId(), "offset",
                    client.committed(queue));
            }
        } finally {
            Haste.during(client::shutdown);
        }
    }

    private static void seek(DefaultLitePullConsumer client, MessageQueue queue, String to) throws Exception {
        switch (to) {
            case "begin":
                client.seekToBegin(queue);
                break;
            case "end":
                client.seekToEnd(queue);
                break;
            default:
                client.seek(queue, Long.parseLong(to));
        }
    }

    private static void poll(Call call, DefaultLitePullConsumer client) {
        long deadline = System.nanoTime() + call.number("timeout", 20_000) * 1_000_000;
        for (long wanted = call.number("expect", 1); wanted > 0 && System.nanoTime() < deadline; ) {
            for (MessageExt msg : client.poll(200)) {
                call.say("received", Facts.received(msg));
                wanted--;
            }
        }
    }

    private LitePull() {
    }
}
