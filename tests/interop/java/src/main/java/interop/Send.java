package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * send: {@code mode} sync, async, oneway, batch, selected (all messages of one {@code key} to one queue) or queue (to
 * queue number {@code queue}). Says {@code sent} for each result and {@code error} for each failure.
 */
final class Send {
    /** Producers that outlive the call that opened them, by the name that it gave. */
    private static final Map<String, DefaultMQProducer> OPEN = new ConcurrentHashMap<>();

    static void run(Call call) throws Throwable {
        String name = call.text("keep", null);
        DefaultMQProducer producer = name == null ? null : OPEN.get(name);
        if (producer == null) {
            producer = open(call);
            if (name != null) {
                OPEN.put(name, producer);
            }
        }
        try {
            send(call, producer);
        } finally {
            if (name == null) {
                Haste.during(producer::shutdown);
            }
        }
    }

    static void close(Call call) throws Exception {
        Haste.during(OPEN.remove(call.text("name"))::shutdown);
    }

    private static DefaultMQProducer open(Call call) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(call.text("group", "interop-producer-" + call.id));
        producer.setNamesrvAddr(call.text("namesrv"));
        // Producers of one group name and address share an instance otherwise, and with it a name server.
        producer.setInstanceName("producer-" + call.id);
        producer.setPollNameServerInterval(Driver.ROUTE_REFRESH_MS);
        producer.setMqClientApiTimeout(Driver.TIMEOUT_MS);
        producer.setSendMsgTimeout((int) call.number("timeout", Driver.TIMEOUT_MS));
        producer.setMaxMessageSize((int) call.number("max-size", 4 << 20));
        producer.setCompressMsgBodyOverHowmuch((int) call.number("compress-over", 4096));
        producer.setCompressType(CompressionType.of(call.text("compress-type", "ZLIB")));
        producer.setRetryTimesWhenSendFailed((int) call.number("retries", 2));
        producer.setRetryAnotherBrokerWhenNotStoreOK(false);
        if (call.has("queues")) {
            producer.setDefaultTopicQueueNums((int) call.number("queues", 4));
        }
        producer.start();
        return producer;
    }

    private static void send(Call call, DefaultMQProducer producer) throws Exception {
        List<Message> messages = messages(call);
        String mode = call.text("mode", "sync");
        switch (mode) {
            case "sync":
                for (Message msg : messages) {
                    attempt(call, msg, () -> producer.send(msg));
                }
                break;
            case "selected":
                MessageQueueSelector byKey = new SelectMessageQueueByHash();
                for (Message msg : messages) {
                    attempt(call, msg, () -> producer.send(msg, byKey, msg.getKeys()));
                }
                break;
            case "queue":
                MessageQueue queue = new MessageQueue(call.text("topic"), call.text("broker", "broker-a"),
                    (int) call.number("queue", 0));
                for (Message msg : messages) {
                    attempt(call, msg, () -> producer.send(msg, queue));
                }
                break;
            case "batch":
                SendResult all = producer.send(messages);
                String[] ids = all.getMsgId().split(",");
                call.say("batch", "status", all.getSendStatus(), "ids", ids.length, "offset", all.getQueueOffset());
                call.say("sent", Facts.sent(messages.get(0), all));
                break;
            case "oneway":
                for (Message msg : messages) {
                    producer.sendOneway(msg);
                }
                // A connection that is closed with answers unread may lose what was written last: wait for an answer.
                producer.send(new Message(call.text("topic") + "-end", new byte[] {1}));
                break;
            case "async":
                sendAsync(call, producer, messages);
                break;
            default:
                throw new IllegalArgumentException("no such mode: " + mode);
        }
    }

    private static void sendAsync(Call call, DefaultMQProducer producer, List<Message> messages) throws Exception {
        CountDownLatch answered = new CountDownLatch(messages.size());
        for (Message msg : messages) {
            producer.send(msg, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    call.say("sent", Facts.sent(msg, result));
                    answered.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    call.say("error", Failure.fields(e));
                    answered.countDown();
                }
            });
        }
        if (!answered.await(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException(answered.getCount() + " asynchronous sends were never answered");
        }
    }

    private interface Attempt {
        SendResult send() throws Exception;
    }

    private static void attempt(Call call, Message msg, Attempt attempt) {
        try {
            call.say("sent", Facts.sent(msg, attempt.send()));
        } catch (Exception e) {
            call.say("error", Failure.fields(e));
        }
    }

    /**
     * Message i of {@code count}: body "PREFIX-i" filled up to {@code size} bytes, tag and key taken in turn from the
     * lists {@code tags} and {@code keys}; a single key ending in # gets the number appended.
     */
    private static List<Message> messages(Call call) {
        String prefix = call.text("body", "hello");
        String[] tags = call.has("tags") ? call.text("tags").split(",") : new String[0];
        String[] keys = call.has("keys") ? call.text("keys").split(",") : new String[0];
        Map<String, String> properties = call.below("p.");
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < call.number("count", 1); i++) {
            Message msg = new Message(call.text("topic"), body(prefix + "-" + i, (int) call.number("size", 0)));
            if (tags.length > 0) {
                msg.setTags(tags[i % tags.length]);
            }
            if (keys.length > 0) {
                String key = keys[i % keys.length];
                msg.setKeys(key.endsWith("#") ? key.substring(0, key.length() - 1) + i : key);
            }
            msg.setFlag((int) call.number("flag", 0));
            if (call.has("delay-level")) {
                msg.setDelayTimeLevel((int) call.number("delay-level", 0));
            }
            properties.forEach(msg::putUserProperty);
            messages.add(msg);
        }
        return messages;
    }

    /** A little noise in the filler, or a compressed body would tell nothing about large ones. */
    private static byte[] body(String text, int size) {
        byte[] start = text.getBytes(StandardCharsets.UTF_8);
        byte[] body = Arrays.copyOf(start, Math.max(start.length, size));
        int state = text.hashCode();
        for (int i = start.length; i < body.length; i++) {
            state = state * 1_103_515_245 + 12_345;
            body[i] = (byte) (i % 4 == 0 ? state >> 16 : 'x');
        }
        return body;
    }

    private Send() {
    }
}
