package interop;

import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/**
 * push: a push consumer called {@code name}; says {@code started}, then {@code received} for each message until another
 * call stops it.
 */
final class Push {
    private static final Map<String, Consumer> OPEN = new ConcurrentHashMap<>();

    private static final class Consumer {
        final DefaultMQPushConsumer client;
        final CountDownLatch stopped = new CountDownLatch(1);

        Consumer(DefaultMQPushConsumer client) {
            this.client = client;
        }
    }

    static void run(Call call) throws Throwable {
        DefaultMQPushConsumer client = new DefaultMQPushConsumer(call.text("group"));
        client.setNamesrvAddr(call.text("namesrv"));
        client.setInstanceName("consumer-" + ProcessHandle.current().pid() + "-" + call.id);
        client.setPollNameServerInterval(Driver.ROUTE_REFRESH_MS);
        client.setMqClientApiTimeout(Driver.TIMEOUT_MS);
        client.setConsumeFromWhere("last".equals(call.text("from", "first"))
            ? ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET
            : ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        client.setMessageModel("broadcasting".equals(call.text("model", "clustering"))
            ? MessageModel.BROADCASTING
            : MessageModel.CLUSTERING);
        client.setConsumeMessageBatchMaxSize((int) call.number("batch", 1));
        client.setConsumeThreadMin(4);
        client.setConsumeThreadMax(4);
        client.subscribe(call.text("topic"), call.text("filter", "*"));
        listen(call, client);

        Consumer consumer = new Consumer(client);
        OPEN.put(call.text("name"), consumer);
        client.start();
        call.say("started", "clientId", client.buildMQClientId());
        consumer.stopped.await();
        Haste.during(client::shutdown);
    }

    private static void listen(Call call, DefaultMQPushConsumer client) {
        // Message ids that were refused once already, if the test asked for that.
        Set<String> refused = ConcurrentHashMap.newKeySet();
        boolean refuseOnce = "once".equals(call.text("refuse", "never"));
        if ("orderly".equals(call.text("mode", "concurrent"))) {
            client.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
                boolean ok = accept(call, messages, refuseOnce, refused);
                return ok ? ConsumeOrderlyStatus.SUCCESS : ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            });
        } else {
            client.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                boolean ok = accept(call, messages, refuseOnce, refused);
                return ok ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS : ConsumeConcurrentlyStatus.RECONSUME_LATER;
            });
        }
    }

    private static boolean accept(Call call, Iterable<MessageExt> messages, boolean refuseOnce, Set<String> refused) {
        boolean ok = true;
        for (MessageExt msg : messages) {
            boolean refuse = refuseOnce && refused.add(msg.getMsgId());
            call.say(refuse ? "refused" : "received", Facts.received(msg));
            ok &= !refuse;
        }
        return ok;
    }

    /** assigned: says {@code queue} for each queue of {@code topic} that the consumer holds now. */
    static void assigned(Call call) {
        Consumer consumer = OPEN.get(call.text("name"));
        Set<MessageQueue> queues = new TreeSet<>(
            consumer.client.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet());
        for (MessageQueue queue : queues) {
            if (queue.getTopic().equals(call.text("topic"))) {
                call.say("queue", "broker", queue.getBrokerName(), "queue", queue.getQueueId());
            }
        }
    }

    static void stop(Call call) {
        OPEN.remove(call.text("name")).stopped.countDown();
    }

    private Push() {
    }
}
