package interop;

import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The old pull consumer, which shows the broker's answers nearly as they are. */
@SuppressWarnings("deprecation")
final class Pull {
    private static DefaultMQPullConsumer open(Call call) throws Exception {
        DefaultMQPullConsumer client = new DefaultMQPullConsumer(call.text("group"));
        client.setNamesrvAddr(call.text("namesrv"));
        client.setInstanceName("puller-" + call.id);
        client.setPollNameServerInterval(Driver.ROUTE_REFRESH_MS);
        client.setMqClientApiTimeout(Driver.TIMEOUT_MS);
        client.start();
        return client;
    }

    /**
     * pull: with {@code queue}, one pull at {@code offset}; without, every queue from its minimum to its end. Says
     * {@code pulled} for each answer and {@code received} for each message.
     */
    static void run(Call call) throws Throwable {
        DefaultMQPullConsumer client = open(call);
        try {
            for (MessageQueue queue : new TreeSet<>(client.fetchSubscribeMessageQueues(call.text("topic")))) {
                if (call.has("queue")) {
                    if (queue.getQueueId() == call.number("queue", 0)) {
                        pull(call, client, queue, call.number("offset", 0));
                    }
                    continue;
                }
                long offset = client.minOffset(queue);
                for (PullResult result = pull(call, client, queue, offset);
                    result.getPullStatus() != PullStatus.NO_NEW_MSG;
                    result = pull(call, client, queue, offset)) {
                    offset = result.getNextBeginOffset();
                }
            }
        } finally {
            Haste.during(client::shutdown);
        }
    }

    private static PullResult pull(Call call, DefaultMQPullConsumer client, MessageQueue queue, long offset)
        throws Exception {
        String filter = call.text("filter", "*");
        int max = (int) call.number("max", 32);
        PullResult result = "true".equals(call.text("block", "false"))
            ? client.pullBlockIfNotFound(queue, filter, offset, max)
            : client.pull(queue, filter, offset, max);
        call.say("pulled", "status", result.getPullStatus(), "broker", queue.getBrokerName(), "queue", queue.getQueueId(),
            "next", result.getNextBeginOffset(), "min", result.getMinOffset(), "max", result.getMaxOffset());
        if (result.getMsgFoundList() != null) {
            for (MessageExt msg : result.getMsgFoundList()) {
                call.say("received", Facts.received(msg));
            }
        }
        return result;
    }

    /** pull-offset: stores {@code set} as the group's offset if given, then says what the broker has. */
    static void offset(Call call) throws Throwable {
        DefaultMQPullConsumer client = open(call);
        try {
            for (MessageQueue queue : new TreeSet<>(client.fetchSubscribeMessageQueues(call.text("topic")))) {
                if (call.has("set")) {
                    client.updateConsumeOffset(queue, call.number("set", 0));
                    client.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
                }
                call.say("offset", "broker", queue.getBrokerName(), "queue", queue.getQueueId(), "committed",
                    client.fetchConsumeOffset(queue, true));
            }
        } finally {
            Haste.during(client::shutdown);
        }
    }

    private Pull() {
    }
}
