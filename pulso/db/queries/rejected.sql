-- rejected_list --
-- Newest first, paged by id. A device is named by its id or, where a message told none, by the pattern of its topics.
SELECT rejected_id, received_at, topic, source, external_id, reason, detail, decoder, content_type,
       retained, state, replayed_at, replays, octet_length(payload)
FROM rejected_message
WHERE (%(ids)s::bigint[] IS NULL OR rejected_id = ANY (%(ids)s))
  AND (%(before)s::bigint IS NULL OR rejected_id < %(before)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(topic_prefix)s::text IS NULL OR starts_with(topic, %(topic_prefix)s))
  AND (%(decoder)s::text IS NULL OR %(decoder)s IN (decoder, split_part(decoder, '@', 1)))
  AND (%(device)s::text IS NULL OR external_id = %(device)s
       OR external_id IS NULL AND starts_with(topic, %(topics_begin)s)
          AND regexp_replace(topic, %(levels)s, '\1+', 'g') = %(device)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
ORDER BY rejected_id DESC
LIMIT %(limit)s;

-- rejected_with_bytes --
SELECT rejected_id, received_at, topic, source, external_id, reason, detail, decoder, content_type,
       retained, state, replayed_at, replays, octet_length(payload), payload
FROM rejected_message
WHERE rejected_id = ANY (%(ids)s::bigint[])
ORDER BY rejected_id DESC;

-- rejected_summary --
SELECT reason, source, decoder, state, count(*), min(received_at), max(received_at)
FROM rejected_message
WHERE (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
GROUP BY reason, source, decoder, state
ORDER BY count(*) DESC, reason, source, decoder, state
LIMIT %(limit)s;

-- rejected_move --
-- Kept messages go to the queue or are discarded; discarded ones only if the selection asks for that state. What is
-- queued belongs to the workers, what is replayed is done with. At most `limit` after the id `after`, in order of ids.
WITH chosen AS (
    SELECT rejected_id
    FROM rejected_message
    WHERE state = coalesce(%(state)s, 'kept')
      AND state IN ('kept', 'discarded')
      AND state <> %(target)s
      AND (%(ids)s::bigint[] IS NULL OR rejected_id = ANY (%(ids)s))
      AND (%(reason)s::text IS NULL OR reason = %(reason)s)
      AND (%(source)s::text IS NULL OR source = %(source)s)
      AND (%(topic_prefix)s::text IS NULL OR starts_with(topic, %(topic_prefix)s))
      AND (%(decoder)s::text IS NULL OR %(decoder)s IN (decoder, split_part(decoder, '@', 1)))
      AND (%(device)s::text IS NULL OR external_id = %(device)s
           OR external_id IS NULL AND starts_with(topic, %(topics_begin)s)
              AND regexp_replace(topic, %(levels)s, '\1+', 'g') = %(device)s)
      AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
      AND rejected_id > %(after)s
    ORDER BY rejected_id
    LIMIT %(limit)s
    FOR UPDATE
), moved AS (
    UPDATE rejected_message
    SET state = %(target)s
    FROM chosen
    WHERE rejected_message.rejected_id = chosen.rejected_id
)
SELECT count(*), max(rejected_id) FROM chosen;

-- rejected_count --
-- How many messages `rejected_move` would take.
SELECT count(*)
FROM rejected_message
WHERE state = coalesce(%(state)s, 'kept')
  AND state IN ('kept', 'discarded')
  AND state <> %(target)s
  AND (%(ids)s::bigint[] IS NULL OR rejected_id = ANY (%(ids)s))
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(topic_prefix)s::text IS NULL OR starts_with(topic, %(topic_prefix)s))
  AND (%(decoder)s::text IS NULL OR %(decoder)s IN (decoder, split_part(decoder, '@', 1)))
  AND (%(device)s::text IS NULL OR external_id = %(device)s
       OR external_id IS NULL AND starts_with(topic, %(topics_begin)s)
          AND regexp_replace(topic, %(levels)s, '\1+', 'g') = %(device)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s);

-- rejected_notify --
SELECT pg_notify('pulso_replay', '');

-- rejected_take --
-- The next queued messages that no other worker holds, oldest first, locked until the end of the transaction; at most
-- `limit` of them and, but for the first, no more than `most_bytes` of payload.
WITH locked AS (
    SELECT rejected_id, octet_length(payload) AS size
    FROM rejected_message
    WHERE state = 'queued'
    ORDER BY rejected_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), measured AS (
    SELECT rejected_id, sum(size) OVER (ORDER BY rejected_id) - size AS before
    FROM locked
)
SELECT rejected_message.rejected_id, rejected_message.received_at, rejected_message.topic, rejected_message.payload,
       rejected_message.content_type, rejected_message.retained, rejected_message.source
FROM rejected_message
JOIN measured USING (rejected_id)
WHERE measured.before < %(most_bytes)s
ORDER BY rejected_message.rejected_id;

-- rejected_settle --
-- What a replay came to. A mapping may have told meanwhile what is personal in its bytes. The reason of a message that was understood at last stays: it tells why it came late.
UPDATE rejected_message
SET state = CASE WHEN %(understood)s::boolean THEN 'replayed' ELSE 'kept' END,
    replayed_at = now(),
    replays = replays + 1,
    reason = CASE WHEN %(understood)s::boolean THEN reason ELSE %(reason)s::text END,
    detail = CASE WHEN %(understood)s::boolean THEN detail ELSE %(detail)s::text END,
    decoder = coalesce(%(decoder)s::text, decoder),
    external_id = coalesce(%(external_id)s::text, external_id),
    payload = coalesce(%(payload)s::bytea, payload)
WHERE rejected_id = %(rejected_id)s AND state = 'queued';

-- rejected_delete --
-- Messages that wait for a replay stay, however old.
DELETE FROM rejected_message
WHERE received_at < now() - %(older_than)s::interval AND state <> 'queued';

-- quarantine_devices --
-- Devices whose messages are kept because nobody understands them, the last seen first. Where a message does not tell
-- the device, the pattern of its topics stands for it: levels that hold a digit are taken for ids.
WITH counted AS (
    SELECT coalesce(external_id, regexp_replace(topic, %(levels)s, '\1+', 'g')) AS device, external_id, reason,
           count(*) AS messages, min(received_at) AS first_seen, max(received_at) AS last_seen,
           (array_agg(rejected_id ORDER BY rejected_id DESC))[1:5] AS latest
    FROM rejected_message
    WHERE state = 'kept'
      AND reason = ANY (%(reasons)s::text[])
      AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
      AND (%(device)s::text IS NULL OR external_id = %(device)s
           OR external_id IS NULL AND starts_with(topic, %(topics_begin)s)
              AND regexp_replace(topic, %(levels)s, '\1+', 'g') = %(device)s)
    GROUP BY 1, 2, 3
), devices AS (
    SELECT device, external_id, sum(messages)::bigint AS messages, min(first_seen) AS first_seen,
           max(last_seen) AS last_seen, jsonb_object_agg(reason, messages) AS reasons, max(latest[1]) AS newest
    FROM counted
    GROUP BY device, external_id
), page AS (
    SELECT *
    FROM devices
    WHERE %(before)s::timestamptz IS NULL
       OR last_seen < %(before)s
       OR last_seen = %(before)s AND device > %(after)s
    ORDER BY last_seen DESC, device
    LIMIT %(limit)s
)
SELECT page.device, page.external_id, newest.topic, newest.source, newest.decoder,
       page.messages, page.first_seen, page.last_seen, page.reasons,
       ARRAY(
           SELECT rejected_id
           FROM counted
           CROSS JOIN unnest(counted.latest) AS rejected_id
           WHERE counted.device = page.device AND counted.external_id IS NOT DISTINCT FROM page.external_id
           ORDER BY rejected_id DESC
           LIMIT 5
       ),
       thing.family, thing.state
FROM page
JOIN rejected_message AS newest ON newest.rejected_id = page.newest
LEFT JOIN thing ON thing.external_id = page.external_id
ORDER BY page.last_seen DESC, page.device;
