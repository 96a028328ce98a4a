package interop;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;

/** An exception as the tests see it: its class, the broker's code where there is one, and its message. */
final class Failure {
    static Map<String, Object> fields(Throwable e) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("class", e.getClass().getSimpleName());
        Throwable cause = e;
        for (; cause != null; cause = cause.getCause()) {
            if (cause instanceof MQBrokerException) {
                fields.put("code", ((MQBrokerException) cause).getResponseCode());
                fields.put("remark", ((MQBrokerException) cause).getErrorMessage());
                break;
            }
            if (cause instanceof MQClientException && ((MQClientException) cause).getResponseCode() > 0) {
                fields.put("code", ((MQClientException) cause).getResponseCode());
                break;
            }
        }
        fields.put("message", String.valueOf(e.getMessage()));
        return fields;
    }

    private Failure() {
    }
}
