DECLARE
  v_time bigint; v_out text := ''; v_any boolean := false; v_topics text[] := '{}';
  v_ns text; v_turn text; v_line text; v_done text; v_i integer := 0; v_expecting boolean;
  v_made boolean; v_bumped bigint[]; v_news text[]; v_digest bytea; v_text text; v_yes boolean;
  v_key text[]; v_found bigint; v_version bigint; v_refs text; v_scope text; v_floor bigint;
  v_hashes text[]; v_n bigint; v_f integer; v_constraint text;
  v_no bigint; v_first bigint; v_last bigint; v_count bigint; v_start bigint; v_bytes bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION USING ERRCODE = 'AK002', MESSAGE = 'a commit must run in READ COMMITTED';
  END IF;
  -- In one order for everybody, and all before anything is read: what is read under them stays.
  FOR x IN 1..cardinality(p_locks) LOOP
    IF p_exclusive[x] THEN v_text := pg_advisory_xact_lock(p_locks[x])::text;
    ELSE v_text := pg_advisory_xact_lock_shared(p_locks[x])::text;
    END IF;
  END LOOP;
  v_time := greatest(p_time, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
  FOR b IN 1..cardinality(b_namespace) LOOP
    v_ns := b_namespace[b]; v_turn := b_turn[b]; v_line := NULL;
    IF b_operation[b] IS NOT NULL THEN
      SELECT o.digest, o.result INTO v_digest, v_text FROM @_operations@ o
        WHERE o.namespace = v_ns AND o.operation = b_operation[b];
      IF FOUND THEN
        v_line := CASE WHEN v_digest = b_digest[b] THEN 'ok 1 ' || v_text ELSE 'no 0 operation' END;
      END IF;
    END IF;
    IF v_line IS NULL THEN
      BEGIN
        v_done := v_time::text; v_made := false; v_bumped := '{}'; v_news := '{}'; v_expecting := true;
        FOR i IN b_from[b]..b_to[b] LOOP
          v_i := i;
          CASE s_kind[i]
          WHEN 'go' THEN
            v_expecting := false;
            IF b_eager[b] THEN
              v_text := @_known@(v_ns, b_from[b], b_to[b], s_kind, s_what, s_key, s_text, s_from, s_to, e_id, e_body);
              IF v_text LIKE 'no %' THEN
                RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = v_text;
              ELSIF v_text IS NOT NULL THEN
                v_done := v_done || v_text; v_line := 'ok 1 ' || v_done; EXIT;
              END IF;
            END IF;
          WHEN 'append' THEN
            v_no := NULL; v_last := 0; v_count := 0;
            SELECT h.no, h.last, h.count INTO v_no, v_last, v_count FROM @_streams@ h
              WHERE h.namespace = v_ns AND h.log = s_what[i] AND h.stream = s_key[i];
            IF NOT FOUND THEN v_last := 0; v_count := 0; END IF;
            v_n := greatest(s_to[i] - s_from[i] + 1, 0);
            v_start := coalesce(s_number[i], v_last + 1);
            IF v_start <> -1 AND v_start <= v_last THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'start', v_last);
            ELSIF v_start = -1 OR v_start > 9223372036854775807 - v_n THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'numbers');
            END IF;
            IF v_no IS NULL THEN
              v_scope := v_ns || chr(31) || '_streams'; v_floor := NULL;
              SELECT f.floor INTO v_floor FROM @_floors@ f WHERE f.scope = v_scope;
              INSERT INTO @_streams@(namespace, log, stream, birth, first, last, count, bytes, updated, version)
                VALUES (v_ns, s_what[i], s_key[i],
                  ('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16))::bit(64)::bigint,
                  1, 0, 0, 0, v_time, coalesce(v_floor, 0) + 1)
                RETURNING no INTO v_no;
              v_bumped := v_bumped || v_no;
            END IF;
            v_made := true;
            IF v_n > 0 THEN
              IF s_refs[i] IS NOT NULL THEN
                FOR x IN s_from[i]..s_to[i] LOOP
                  v_n := v_start + x - s_from[i];
                  CASE s_what[i]
@append one@
                  END CASE;
                  IF e_refs[x] IS NOT NULL THEN
                    v_hashes := string_to_array(translate(e_refs[x], '["]', ''), ',');
@refer@
                  END IF;
                END LOOP;
                v_n := s_to[i] - s_from[i] + 1;
              ELSE
                CASE s_what[i]
@append all@
                END CASE;
              END IF;
              UPDATE @_streams@ h SET first = CASE WHEN h.count = 0 THEN v_start ELSE h.first END,
                last = v_start + v_n - 1, count = h.count + v_n, bytes = h.bytes + s_size[i], updated = v_time,
                version = h.version + CASE WHEN v_no = ANY(v_bumped) THEN 0 ELSE 1 END
                WHERE h.no = v_no;
              v_bumped := v_bumped || v_no;
              v_news := v_news || (v_ns || chr(31) || s_what[i] || chr(31) || s_key[i]);
            END IF;
            v_done := v_done || ' A' || v_start || '-' || v_n;
          WHEN 'put', 'version', 'exists', 'absent', 'delete' THEN
            v_key := string_to_array(s_key[i], chr(31)); v_found := NULL; v_refs := NULL;
            CASE s_what[i]
@look@
            END CASE;
            v_found := coalesce(v_found, 0);
            IF s_kind[i] = 'version' THEN
              IF v_found <> s_number[i] THEN
                RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'version', v_found);
              END IF;
            ELSIF s_kind[i] = 'exists' THEN
              IF v_found = 0 THEN
                RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'missing');
              END IF;
            ELSIF s_kind[i] = 'absent' THEN
              IF v_found > 0 THEN
                RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'there');
              END IF;
            ELSE
              v_scope := CASE WHEN s_what[i] = '_namespaces' THEN v_ns || chr(31) || '_namespaces' ELSE v_ns END;
              IF s_kind[i] = 'put' THEN
                IF s_number[i] = -2 AND v_found > 0 THEN
                  RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'there');
                ELSIF s_number[i] <> -2 AND s_number[i] <> v_found THEN
                  RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'version', v_found);
                END IF;
                v_made := true;
                IF s_refs[i] IS NOT NULL THEN
                  v_hashes := string_to_array(translate(s_refs[i], '["]', ''), ',');
@refer@
                END IF;
                v_version := v_found + 1;
                IF v_found = 0 THEN
                  v_floor := NULL;
                  SELECT f.floor INTO v_floor FROM @_floors@ f WHERE f.scope = v_scope;
                  v_version := coalesce(v_floor, 0) + 1;
                END IF;
                v_f := s_from[i];
                CASE s_what[i]
@put@
                END CASE;
                v_done := v_done || ' P' || v_version;
              ELSE
                IF s_what[i] = '_namespaces' THEN
                  IF @holds@ THEN
                    RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'holds');
                  END IF;
                  v_made := false;
                END IF;
                IF v_found > 0 THEN
                  INSERT INTO @_floors@ AS f (scope, floor) VALUES (v_scope, v_found)
                    ON CONFLICT (scope) DO UPDATE SET floor = excluded.floor WHERE f.floor < excluded.floor;
                  CASE s_what[i]
@delete@
                  END CASE;
                END IF;
                v_done := v_done || CASE WHEN v_found > 0 THEN ' D1' ELSE ' D0' END;
              END IF;
              IF v_refs IS NOT NULL THEN
                v_hashes := string_to_array(translate(v_refs, '["]', ''), ',');
@release@
              END IF;
            END IF;
          WHEN 'ends' THEN
            v_last := NULL;
            SELECT h.last INTO v_last FROM @_streams@ h
              WHERE h.namespace = v_ns AND h.log = s_what[i] AND h.stream = s_key[i];
            IF coalesce(v_last, 0) <> s_number[i] THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'ends', coalesce(v_last, 0));
            END IF;
          WHEN 'norecord' THEN
            CASE s_what[i]
@norecord@
            END CASE;
            IF v_yes THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'has');
            END IF;
          WHEN 'blob' THEN
            IF NOT EXISTS (SELECT FROM @_blobs@ t WHERE t.namespace = v_ns AND t.hash = s_key[i]) THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'noblob', s_key[i]);
            END IF;
          WHEN 'trim', 'drop', 'rewrite' THEN
            v_no := NULL;
            SELECT h.no, h.last, h.version INTO v_no, v_last, v_version FROM @_streams@ h
              WHERE h.namespace = v_ns AND h.log = s_what[i] AND h.stream = s_key[i];
            IF v_no IS NULL AND s_kind[i] <> 'drop' THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'nostream');
            END IF;
            IF s_kind[i] = 'rewrite' THEN
              v_text := NULL; v_refs := NULL;
              CASE s_what[i]
@entry@
              END CASE;
              IF v_text IS NULL THEN
                RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'noentry');
              END IF;
              IF s_refs[i] IS NOT NULL THEN
                v_hashes := string_to_array(translate(s_refs[i], '["]', ''), ',');
@refer@
              END IF;
              CASE s_what[i]
@rewrite@
              END CASE;
              IF v_refs IS NOT NULL THEN
                v_hashes := string_to_array(translate(v_refs, '["]', ''), ',');
@release@
              END IF;
              UPDATE @_streams@ h SET bytes = h.bytes + s_size[i] - octet_length(v_text), updated = v_time,
                version = h.version + CASE WHEN v_no = ANY(v_bumped) THEN 0 ELSE 1 END
                WHERE h.no = v_no;
              v_bumped := v_bumped || v_no;
              v_done := v_done || ' W';
            ELSIF v_no IS NULL THEN
              v_done := v_done || ' X0';
            ELSE
              v_start := CASE WHEN s_kind[i] = 'drop' THEN 9223372036854775807 ELSE s_number[i] END;
              CASE s_what[i]
@remove@
              END CASE;
              IF s_kind[i] = 'drop' THEN
                DELETE FROM @_streams@ h WHERE h.no = v_no;
                v_version := v_version - CASE WHEN v_no = ANY(v_bumped) THEN 1 ELSE 0 END;
                INSERT INTO @_floors@ AS f (scope, floor) VALUES (v_ns || chr(31) || '_streams', v_version)
                  ON CONFLICT (scope) DO UPDATE SET floor = excluded.floor WHERE f.floor < excluded.floor;
                v_done := v_done || ' X1';
              ELSE
                IF v_n > 0 THEN
                  UPDATE @_streams@ h SET first = coalesce(v_first, v_last + 1), count = h.count - v_n,
                    bytes = h.bytes - v_bytes, updated = v_time,
                    version = h.version + CASE WHEN v_no = ANY(v_bumped) THEN 0 ELSE 1 END
                    WHERE h.no = v_no;
                  v_bumped := v_bumped || v_no;
                END IF;
                v_done := v_done || ' T' || v_n;
              END IF;
            END IF;
          WHEN 'putblob' THEN
            IF EXISTS (SELECT FROM @_blobs@ t WHERE t.namespace = v_ns AND t.hash = s_key[i]) THEN
              v_done := v_done || ' K0';
            ELSE
              v_made := true; v_floor := NULL;
              SELECT f.floor INTO v_floor FROM @_floors@ f WHERE f.scope = v_ns || chr(31) || '_blobs';
              INSERT INTO @_blobs@(namespace, hash, size, reference_count, unreferenced_since, version)
                VALUES (v_ns, s_key[i], octet_length(x_bytes[s_from[i]]), 0, v_time, coalesce(v_floor, 0) + 1);
              INSERT INTO @_blob_bytes@(namespace, hash, bytes) VALUES (v_ns, s_key[i], x_bytes[s_from[i]]);
              v_done := v_done || ' K1';
            END IF;
          WHEN 'dropblob' THEN
            v_found := NULL;
            SELECT t.reference_count, t.version INTO v_found, v_version FROM @_blobs@ t
              WHERE t.namespace = v_ns AND t.hash = s_key[i];
            IF v_found > 0 THEN
              RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'referenced', v_found);
            ELSIF v_found IS NULL THEN
              v_done := v_done || ' B0';
            ELSE
              DELETE FROM @_blobs@ t WHERE t.namespace = v_ns AND t.hash = s_key[i];
              DELETE FROM @_blob_bytes@ t WHERE t.namespace = v_ns AND t.hash = s_key[i];
              INSERT INTO @_floors@ AS f (scope, floor) VALUES (v_ns || chr(31) || '_blobs', v_version)
                ON CONFLICT (scope) DO UPDATE SET floor = excluded.floor WHERE f.floor < excluded.floor;
              v_done := v_done || ' B1';
            END IF;
          WHEN 'nothing' THEN NULL;
          WHEN 'foreign' THEN
            RAISE EXCEPTION USING ERRCODE = 'AK001', MESSAGE = concat_ws(' ', 'no', i, 'foreign');
          END CASE;
        END LOOP;
        IF v_line IS NULL THEN
          IF v_made AND NOT EXISTS (SELECT FROM @_namespaces@ t WHERE t.namespace = v_ns) THEN
            v_text := pg_advisory_xact_lock(b_name_lock[b])::text; v_floor := NULL;
            SELECT f.floor INTO v_floor FROM @_floors@ f WHERE f.scope = v_ns || chr(31) || '_namespaces';
            INSERT INTO @_namespaces@(namespace, version, turn, refs, body)
              VALUES (v_ns, coalesce(v_floor, 0) + 1, v_turn, NULL, '{}') ON CONFLICT DO NOTHING;
          END IF;
          v_line := 'ok 0 ' || v_done;
        END IF;
        IF b_operation[b] IS NOT NULL THEN
          INSERT INTO @_operations@(namespace, operation, digest, time, result)
            VALUES (v_ns, b_operation[b], b_digest[b], v_time, v_done);
        END IF;
      EXCEPTION WHEN SQLSTATE 'AK001' OR unique_violation THEN
        -- Everything is as before the batch: what was refused may be known.
        v_line := SQLERRM;
        IF SQLSTATE <> 'AK001' THEN
          GET STACKED DIAGNOSTICS v_text = SCHEMA_NAME, v_constraint = CONSTRAINT_NAME;
          -- A partition's index has a name of its own.
          SELECT r.relname INTO v_constraint FROM pg_class c
            JOIN pg_namespace s ON s.oid = c.relnamespace AND s.nspname = v_text
            JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
            WHERE c.relname = v_constraint;
          IF v_constraint = ANY(@id indexes@) IS NOT TRUE THEN RAISE; END IF;
          v_line := concat_ws(' ', 'no', v_i, 'known');
        END IF;
        IF NOT v_expecting AND b_answers[b] THEN
          v_text := @_known@(v_ns, b_from[b], b_to[b], s_kind, s_what, s_key, s_text, s_from, s_to, e_id, e_body);
          IF v_text LIKE 'no %' THEN
            v_line := v_text;
          ELSIF v_text IS NOT NULL THEN
            v_done := v_time || v_text; v_line := 'ok 1 ' || v_done;
            IF b_operation[b] IS NOT NULL THEN
              INSERT INTO @_operations@(namespace, operation, digest, time, result)
                VALUES (v_ns, b_operation[b], b_digest[b], v_time, v_done);
              v_any := true;
            END IF;
          END IF;
        END IF;
      END;
      IF v_line LIKE 'ok 0%' THEN
        v_any := true;
        FOR x IN 1..cardinality(v_news) LOOP
          IF v_news[x] <> ALL(v_topics) THEN v_topics := v_topics || v_news[x]; END IF;
        END LOOP;
      END IF;
    END IF;
    -- What was there already is written, too: so this commit waits until it is as safe as the settings say,
    -- and so is the one that is repeated.
    v_any := v_any OR v_line LIKE 'ok 1%';
    v_out := v_out || v_line || chr(10);
  END LOOP;
  IF v_any THEN
    INSERT INTO @_commits@(token, time, result) VALUES (p_token, v_time, v_out);
  END IF;
  IF cardinality(v_topics) > 0 THEN
    -- Who listens holds this lock. Telling takes a lock of the whole server until the commit. In one
    -- expression: what is cancelled in between would leave the lock with the session.
    v_yes := CASE WHEN pg_try_advisory_lock(p_listeners) THEN NOT pg_advisory_unlock(p_listeners) ELSE true END;
    IF v_yes AND cardinality(v_topics) > 64 THEN
      PERFORM pg_notify(p_channel, '');
    ELSIF v_yes THEN
      FOR x IN 1..cardinality(v_topics) LOOP PERFORM pg_notify(p_channel, v_topics[x]); END LOOP;
    END IF;
  END IF;
  RETURN v_out;
END
