package interop;

import java.util.TreeSet;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Questions about what is stored, asked through the admin client. */
@SuppressWarnings("deprecation")
final class Lookup {
    private interface Question {
        void ask(DefaultMQAdminExt admin) throws Exception;
    }

    private static void with(Call call, Question question) throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(Driver.TIMEOUT_MS);
        admin.setNamesrvAddr(call.text("namesrv"));
        admin.setInstanceName("admin-" + call.id);
        admin.start();
        try {
            question.ask(admin);
        } finally {
            Haste.during(admin::shutdown);
        }
    }

    /**
     * offsets: says for each queue minimum, maximum and earliest store time, and then for each of {@code times} what the
     * searches by time answer.
     */
    static void offsets(Call call) throws Throwable {
        DefaultMQPullConsumer finder = new DefaultMQPullConsumer("interop-finder");
        finder.setNamesrvAddr(call.text("namesrv"));
        finder.setInstanceName("finder-" + call.id);
        finder.setMqClientApiTimeout(Driver.TIMEOUT_MS);
        finder.start();
        try {
            with(call, admin -> {
                for (MessageQueue queue : new TreeSet<>(finder.fetchSubscribeMessageQueues(call.text("topic")))) {
                    call.say("queue", "broker", queue.getBrokerName(), "queue", queue.getQueueId(),
                        "min", admin.minOffset(queue), "max", admin.maxOffset(queue),
                        "earliest", admin.earliestMsgStoreTime(queue));
                    for (String text : call.text("times", "").split(",")) {
                        if (text.isEmpty()) {
                            continue;
                        }
                        long time = Long.parseLong(text);
                        call.say("time", "queue", queue.getQueueId(), "time", time,
                            "search", admin.searchOffset(queue, time),
                            "lower", admin.searchLowerBoundaryOffset(queue, time),
                            "upper", admin.searchUpperBoundaryOffset(queue, time));
                    }
                }
            });
        } finally {
            Haste.during(finder::shutdown);
        }
    }

    /** view: the message with an id, of either kind. */
    static void view(Call call) throws Throwable {
        with(call, admin -> call.say("message", Facts.received(admin.viewMessage(call.text("topic"), call.text("id")))));
    }

    /** query: the messages with a key. */
    static void query(Call call) throws Throwable {
        with(call, admin -> {
            QueryResult result = admin.queryMessage(call.text("topic"), call.text("key"), (int) call.number("max", 32),
                call.number("begin", 0), call.number("end", Long.MAX_VALUE));
            for (MessageExt msg : result.getMessageList()) {
                call.say("message", Facts.received(msg));
            }
        });
    }

    private Lookup() {
    }
}
