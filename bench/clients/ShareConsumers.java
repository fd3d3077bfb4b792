// Consumers of a share group (KIP-932): each record is accepted by itself, and the acknowledgements
// are committed for a whole poll (`poll`) or one by one (`record`). Prints the one line of every
// generator. Run by `java -cp JARS ShareConsumers.java --name value …`.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.FinalizedVersionRange;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public final class ShareConsumers {
  private static final String FEATURE = "share.version";
  private static final Duration POLL = Duration.ofMillis(100);

  private final Map<String, String> flags = new HashMap<>();
  private final AtomicLong acked = new AtomicLong();
  private final AtomicLong failed = new AtomicLong();
  private volatile boolean isOver;

  public static void main(String[] words) throws Exception {
    ShareConsumers run = new ShareConsumers();
    for (int i = 0; i + 1 < words.length; i += 2) {
      run.flags.put(words[i].substring(2), words[i + 1]);
    }
    run.go();
  }

  /** Counts from the end of the warm-up until the time is over, or all there is was accepted. */
  private void go() throws Exception {
    prepare();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < number("consumers"); i++) threads.add(new Thread(this::consume));
    for (Thread thread : threads) thread.start();
    long count = number("count");
    // The group forms, and Java compiles, before anything counts.
    long first = System.nanoTime();
    while (acked.get() == 0 && System.nanoTime() - first < 60_000_000_000L) Thread.sleep(5);
    Thread.sleep(number("warmup") * 1000);
    long from = System.nanoTime();
    long before = acked.get();
    long until = from + number("duration") * 1_000_000_000L;
    while (System.nanoTime() < until && acked.get() < count) Thread.sleep(1);
    long counted = acked.get() - before;
    double seconds = (System.nanoTime() - from) / 1e9;
    isOver = true;
    for (Thread thread : threads) thread.join(20_000);
    Duration cpu = ProcessHandle.current().info().totalCpuDuration().orElse(Duration.ZERO);
    System.out.printf(
        Locale.ROOT,
        "{\"requestsPerSecond\":%.1f,\"acked\":%d,\"failed\":%d,\"latencyMs\":{\"p50\":0,\"p90\":0,"
            + "\"p99\":0,\"p999\":0,\"max\":0},\"cpuSeconds\":%.3f}%n",
        counted / seconds, acked.get(), failed.get(), cpu.toMillis() / 1e3);
    System.exit(0);
  }

  /** Lets the cluster have share groups, and this one begin at the beginning. */
  private void prepare() throws Exception {
    try (Admin admin = Admin.create(properties())) {
      FeatureUpdate share = new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE);
      var finalized = admin.describeFeatures().featureMetadata().get().finalizedFeatures();
      FinalizedVersionRange present = finalized.get(FEATURE);
      if (present == null || present.maxVersionLevel() < 1) {
        admin.updateFeatures(Map.of(FEATURE, share), new UpdateFeaturesOptions()).all().get();
      }
      ConfigResource group = new ConfigResource(ConfigResource.Type.GROUP, flags.get("group"));
      ConfigEntry start = new ConfigEntry("share.auto.offset.reset", "earliest");
      AlterConfigOp set = new AlterConfigOp(start, AlterConfigOp.OpType.SET);
      admin.incrementalAlterConfigs(Map.of(group, List.of(set))).all().get();
    }
  }

  private void consume() {
    Properties properties = properties();
    properties.put("group.id", flags.get("group"));
    properties.put("share.acknowledgement.mode", "explicit");
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    try (KafkaShareConsumer<byte[], byte[]> consumer =
        new KafkaShareConsumer<>(properties, bytes, bytes)) {
      boolean each = "record".equals(flags.get("commit"));
      if (!each) consumer.setAcknowledgementCommitCallback(this::answered);
      consumer.subscribe(Collections.singleton(flags.get("topic")));
      while (!isOver) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
        for (ConsumerRecord<byte[], byte[]> record : records) {
          consumer.acknowledge(record, AcknowledgeType.ACCEPT);
          if (each) commitOne(consumer);
          if (each && isOver) return;
        }
        if (!each) consumer.commitAsync();
      }
    } catch (RuntimeException error) {
      if (isOver) return;
      System.err.println("ShareConsumers: " + error);
      System.exit(1);
    }
  }

  private void commitOne(KafkaShareConsumer<byte[], byte[]> consumer) {
    consumer.commitSync().values().forEach(fault -> {
      if (fault.isPresent()) failed.incrementAndGet();
      else acked.incrementAndGet();
    });
  }

  private void answered(
      Map<TopicIdPartition, Set<Long>> offsets, Exception fault) {
    long count = 0;
    for (Set<Long> some : offsets.values()) count += some.size();
    (fault == null ? acked : failed).addAndGet(count);
  }

  private Properties properties() {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", flags.get("brokers"));
    return properties;
  }

  private long number(String flag) {
    return Long.parseLong(flags.get(flag));
  }
}
