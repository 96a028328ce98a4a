package interop;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages and send results as fields. Bodies above 200 bytes are told by length and CRC only. */
final class Facts {
    private static final int SHOWN_BODY = 200;

    static Map<String, Object> received(MessageExt msg) {
        Map<String, Object> fields = body(msg);
        fields.put("topic", msg.getTopic());
        fields.put("broker", msg.getBrokerName());
        fields.put("queue", msg.getQueueId());
        fields.put("offset", msg.getQueueOffset());
        // getMsgId() of a message from a consumer is the unique id; the offset id needs the other getter.
        fields.put("msgId", msg.getMsgId());
        if (msg instanceof MessageClientExt) {
            fields.put("offsetMsgId", ((MessageClientExt) msg).getOffsetMsgId());
        }
        fields.put("sysFlag", msg.getSysFlag());
        fields.put("flag", msg.getFlag());
        fields.put("bornTime", msg.getBornTimestamp());
        fields.put("storeTime", msg.getStoreTimestamp());
        fields.put("bornHost", host(msg.getBornHost()));
        fields.put("storeHost", host(msg.getStoreHost()));
        fields.put("reconsume", msg.getReconsumeTimes());
        fields.put("physical", msg.getCommitLogOffset());
        fields.put("bodyCrc", Integer.toUnsignedString(msg.getBodyCRC()));
        new TreeMap<>(msg.getProperties()).forEach((key, value) -> fields.put("p." + key, value));
        return fields;
    }

    static Map<String, Object> sent(Message msg, SendResult result) {
        Map<String, Object> fields = body(msg);
        fields.put("status", result.getSendStatus());
        fields.put("msgId", result.getMsgId());
        fields.put("offsetMsgId", result.getOffsetMsgId());
        fields.put("topic", result.getMessageQueue().getTopic());
        fields.put("broker", result.getMessageQueue().getBrokerName());
        fields.put("queue", result.getMessageQueue().getQueueId());
        fields.put("offset", result.getQueueOffset());
        fields.put("region", result.getRegionId());
        fields.put("traceOn", result.isTraceOn());
        return fields;
    }

    static Map<String, Object> body(Message msg) {
        Map<String, Object> fields = new LinkedHashMap<>();
        byte[] body = msg.getBody() == null ? new byte[0] : msg.getBody();
        CRC32 crc = new CRC32();
        crc.update(body);
        if (body.length <= SHOWN_BODY) {
            fields.put("body", new String(body, StandardCharsets.UTF_8));
        }
        fields.put("length", body.length);
        fields.put("crc", crc.getValue());
        return fields;
    }

    private static String host(SocketAddress address) {
        InetSocketAddress inet = (InetSocketAddress) address;
        return inet.getAddress().getHostAddress() + ":" + inet.getPort();
    }

    private Facts() {
    }
}
