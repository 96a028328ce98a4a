// The official Go client v2 as one command per run. It prints facts, not verdicts: lines that start with @, in the same
// form as the Java driver's.
package main

import (
	"context"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var (
	flags   = flag.NewFlagSet("driver", flag.ExitOnError)
	namesrv = flags.String("namesrv", "", "host:port of the name server")
	topic   = flags.String("topic", "", "topic")
	group   = flags.String("group", "interop-go", "producer or consumer group")
	mode    = flags.String("mode", "sync", "send: sync, async, oneway, batch; push: concurrent, orderly")
	count   = flags.Int("count", 1, "messages to send")
	size    = flags.Int("size", 0, "send: least body size")
	tags    = flags.String("tags", "", "send: tags taken in turn, comma separated")
	keys    = flags.String("keys", "", "send: prefix of the keys")
	filter  = flags.String("filter", "*", "push: tag expression")
	expect  = flags.Int("expect", 1, "push: end after that many messages")
	timeout = flags.Duration("timeout", time.Minute, "push: give up after that time")
	broker  = flags.String("broker", "", "admin: host:port of the broker")
)

var commands = map[string]func() error{
	"send":         send,
	"push":         push,
	"create-topic": createTopic,
	"delete-topic": deleteTopic,
	"topics":       topics,
}

func main() {
	rlog.SetLogLevel("warn")
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1], "failed:", err)
		os.Exit(1)
	}
}

func run(name string, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	command, known := commands[name]
	if !known {
		return fmt.Errorf("no such command: %s", name)
	}
	return command()
}

var printing sync.Mutex

func say(kind string, fields ...interface{}) {
	escape := strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r")
	line := "@" + kind
	for i := 0; i < len(fields); i += 2 {
		line += fmt.Sprintf("\t%v=%s", fields[i], escape.Replace(fmt.Sprint(fields[i+1])))
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(line)
}

func resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{*namesrv})
}

func messages() []*primitive.Message {
	var all []*primitive.Message
	names := strings.Split(*tags, ",")
	for i := 0; i < *count; i++ {
		body := []byte(fmt.Sprintf("hello-%d", i))
		for len(body) < *size {
			body = append(body, byte('a'+len(body)%26))
		}
		msg := primitive.NewMessage(*topic, body)
		if *tags != "" {
			msg.WithTag(names[i%len(names)])
		}
		if *keys != "" {
			msg.WithKeys([]string{fmt.Sprintf("%s%d", *keys, i)})
		}
		all = append(all, msg)
	}
	return all
}

func send() error {
	p, err := rocketmq.NewProducer(producer.WithNsResolver(resolver()), producer.WithGroupName(*group),
		producer.WithSendMsgTimeout(30*time.Second))
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	defer p.Shutdown()
	ctx := context.Background()
	switch *mode {
	case "sync":
		for _, msg := range messages() {
			if err := sent(p.SendSync(ctx, msg)); err != nil {
				return err
			}
		}
	case "batch":
		return sent(p.SendSync(ctx, messages()...))
	case "oneway":
		for _, msg := range messages() {
			if err := p.SendOneWay(ctx, msg); err != nil {
				return err
			}
		}
		// A connection that is closed with answers unread may lose what was written last: wait for an answer.
		_, err := p.SendSync(ctx, primitive.NewMessage(*topic+"-end", []byte{1}))
		return err
	case "async":
		return sendAsync(ctx, p)
	default:
		return fmt.Errorf("no such mode: %s", *mode)
	}
	return nil
}

func sendAsync(ctx context.Context, p rocketmq.Producer) error {
	answers := make(chan error, *count)
	for _, msg := range messages() {
		answer := func(_ context.Context, result *primitive.SendResult, err error) { answers <- sent(result, err) }
		if err := p.SendAsync(ctx, answer, msg); err != nil {
			return err
		}
	}
	for i := 0; i < *count; i++ {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}

func sent(result *primitive.SendResult, err error) error {
	if err != nil {
		return err
	}
	status := fmt.Sprint(int(result.Status))
	if result.Status == primitive.SendOK {
		status = "SEND_OK"
	}
	say("sent", "status", status, "msgId", result.MsgID, "offsetMsgId", result.OffsetMsgID, "broker",
		result.MessageQueue.BrokerName, "queue", result.MessageQueue.QueueId, "offset", result.QueueOffset)
	return nil
}

func push() error {
	c, err := rocketmq.NewPushConsumer(consumer.WithNsResolver(resolver()), consumer.WithGroupName(*group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset), consumer.WithConsumerOrder(*mode == "orderly"))
	if err != nil {
		return err
	}
	arrived := make(chan struct{}, 100_000)
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: *filter}
	err = c.Subscribe(*topic, selector, func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, msg := range msgs {
			received(msg)
			arrived <- struct{}{}
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	deadline := time.After(*timeout)
	for i := 0; i < *expect; i++ {
		select {
		case <-arrived:
		case <-deadline:
			return fmt.Errorf("%d of %d messages within %v", i, *expect, *timeout)
		}
	}
	return c.Shutdown()
}

func received(msg *primitive.MessageExt) {
	fields := []interface{}{
		"topic", msg.Topic, "queue", msg.Queue.QueueId, "broker", msg.Queue.BrokerName, "offset", msg.QueueOffset,
		"msgId", msg.MsgId, "offsetMsgId", msg.OffsetMsgId, "length", len(msg.Body), "crc", crc32.ChecksumIEEE(msg.Body),
		"bornHost", msg.BornHost, "storeHost", msg.StoreHost, "reconsume", msg.ReconsumeTimes,
	}
	if len(msg.Body) <= 200 {
		fields = append(fields, "body", string(msg.Body))
	}
	properties := msg.GetProperties()
	var names []string
	for name := range properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fields = append(fields, "p."+name, properties[name])
	}
	say("received", fields...)
}

func createTopic() error {
	a, err := admin.NewAdmin(admin.WithResolver(resolver()))
	if err != nil {
		return err
	}
	defer a.Close()
	return a.CreateTopic(context.Background(), admin.WithTopicCreate(*topic), admin.WithBrokerAddrCreate(*broker))
}

func deleteTopic() error {
	a, err := admin.NewAdmin(admin.WithResolver(resolver()))
	if err != nil {
		return err
	}
	defer a.Close()
	return a.DeleteTopic(context.Background(), admin.WithTopicDelete(*topic), admin.WithBrokerAddrDelete(*broker),
		admin.WithNameSrvAddr([]string{*namesrv}))
}

func topics() error {
	a, err := admin.NewAdmin(admin.WithResolver(resolver()))
	if err != nil {
		return err
	}
	defer a.Close()
	list, err := a.FetchAllTopicList(context.Background())
	if err != nil {
		return err
	}
	for _, name := range list.TopicList {
		say("topic", "name", name)
	}
	return nil
}
