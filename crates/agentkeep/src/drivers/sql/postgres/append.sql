DECLARE
  v_table integer; v_found bigint; v_yes boolean; v_time bigint; v_out pg_catalog.text;
  v_no bigint; v_first bigint; v_told boolean;
BEGIN
  -- In one order for everybody, and all before anything is read: what is read under them stays.
  FOR i IN 1..pg_catalog.cardinality(p_locks) LOOP
    IF p_exclusive[i] THEN v_yes := pg_catalog.pg_advisory_xact_lock(p_locks[i]) IS NULL;
    ELSE v_yes := pg_catalog.pg_advisory_xact_lock_shared(p_locks[i]) IS NULL;
    END IF;
  END LOOP;
  FOR i IN 1..pg_catalog.cardinality(x_table) LOOP
    v_table := x_table[i];
@look@
    -- No version: whichever it is.
    IF coalesce(v_found, 0) @<>@ coalesce(x_version[i], greatest(v_found, 1)) THEN RETURN NULL; END IF;
  END LOOP;
  v_time := greatest(p_time,
    pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) @*@ 1000)::bigint);
  IF p_streams @=@ 1 THEN
    UPDATE @_streams@ h SET first = CASE WHEN h.count @=@ 0 THEN h.last @+@ 1 ELSE h.first END,
      last = h.last @+@ s_count[1], count = h.count @+@ s_count[1], bytes = h.bytes @+@ s_size[1],
      updated = v_time, version = h.version @+@ 1
      WHERE h.namespace @=@ p_namespace AND h.log @=@ '@log@' AND h.stream @=@ s_key[1]
        AND h.last @<@ @end@
        -- Elsewhere what is read could be older than the locks.
        AND pg_catalog.current_setting('transaction_isolation') @=@ 'read committed'
      RETURNING h.no, h.last @-@ s_count[1] @+@ 1 INTO v_no, v_first;
    IF v_no IS NULL THEN RETURN NULL; END IF;
    IF s_count[1] @=@ 1 THEN
      INSERT INTO @entries@(stream_no, seq, id, body, time, turn, rewritten, refs)
        VALUES (v_no, v_first, e_id[1], e_body[1]::pg_catalog.json, v_time, p_turn, NULL, NULL);
    ELSE
      INSERT INTO @entries@(stream_no, seq, id, body, time, turn, rewritten, refs)
        SELECT v_no, v_first @+@ e.n @-@ 1, e.id, e.body::pg_catalog.json, v_time, p_turn, NULL, NULL
        FROM ROWS FROM (pg_catalog.unnest(e_id), pg_catalog.unnest(e_body)) WITH ORDINALITY AS e(id, body, n);
    END IF;
    v_out := pg_catalog.concat(' A', v_first, '-', s_count[1]);
  ELSE
    -- None is touched unless all are there.
    SELECT pg_catalog.count(*) INTO v_found FROM @_streams@ h
      WHERE h.namespace @=@ p_namespace AND h.log @=@ '@log@' AND h.stream @=@ ANY(s_key) AND h.last @<@ @end@
        AND pg_catalog.current_setting('transaction_isolation') @=@ 'read committed';
    IF v_found @<>@ p_streams THEN RETURN NULL; END IF;
    WITH s AS (
      SELECT * FROM ROWS FROM (pg_catalog.unnest(s_key), pg_catalog.unnest(s_from), pg_catalog.unnest(s_count),
        pg_catalog.unnest(s_size)) WITH ORDINALITY AS s(key, place, count, size, n)
    ), h AS (
      UPDATE @_streams@ h SET first = CASE WHEN h.count @=@ 0 THEN h.last @+@ 1 ELSE h.first END,
        last = h.last @+@ s.count, count = h.count @+@ s.count, bytes = h.bytes @+@ s.size,
        updated = v_time, version = h.version @+@ 1
        FROM s WHERE h.namespace @=@ p_namespace AND h.log @=@ '@log@' AND h.stream @=@ s.key
        RETURNING h.no, h.last @-@ s.count @+@ 1 AS first, s.place, s.count, s.n
    ), e AS (
      INSERT INTO @entries@(stream_no, seq, id, body, time, turn, rewritten, refs)
        SELECT h.no, h.first @+@ x @-@ h.place, e_id[x], e_body[x]::pg_catalog.json, v_time, p_turn, NULL, NULL
        FROM h CROSS JOIN LATERAL pg_catalog.generate_series(h.place, h.place @+@ h.count @-@ 1) AS x
    )
    SELECT pg_catalog.string_agg(pg_catalog.concat(' A', h.first, '-', h.count), '' ORDER BY h.n) INTO v_out FROM h;
  END IF;
  INSERT INTO @_commits@(token, time, result) VALUES (p_token, v_time, pg_catalog.concat('ok 0 ', v_time, v_out))
    -- Who listens holds this lock. Telling takes a lock of the whole server until the commit.
    RETURNING result, CASE WHEN pg_catalog.pg_try_advisory_lock(p_listeners)
      THEN NOT pg_catalog.pg_advisory_unlock(p_listeners) ELSE true END INTO v_out, v_told;
  IF v_told THEN
    IF p_streams @>@ 64 THEN
      PERFORM pg_catalog.pg_notify(p_channel, '');
    ELSE
      FOR i IN 1..p_streams LOOP
        PERFORM pg_catalog.pg_notify(p_channel,
          pg_catalog.concat_ws(pg_catalog.chr(31), p_namespace, '@log@', s_key[i]));
      END LOOP;
    END IF;
  END IF;
  RETURN v_out;
END
