DECLARE
  v_out text := ''; v_no bigint; v_seq bigint; v_body text; v_numbers bigint[];
  v_appends integer := 0; v_missing boolean := false; v_doing boolean := false;
BEGIN
  FOR i IN p_from..p_to LOOP
    IF NOT v_doing THEN
      v_doing := s_kind[i] = 'go';
      CONTINUE;
    END IF;
    IF s_kind[i] <> 'append' OR s_text[i] IS NULL OR s_to[i] < s_from[i] THEN
      v_out := v_out || ' L';
      CONTINUE;
    END IF;
    v_appends := v_appends + 1; v_numbers := '{}'; v_no := NULL;
    SELECT h.no INTO v_no FROM @_streams@ h
      WHERE h.namespace = p_namespace AND h.log = s_what[i] AND h.stream = s_key[i];
    IF v_no IS NOT NULL THEN
      FOR x IN s_from[i]..s_to[i] LOOP
        CONTINUE WHEN e_id[x] IS NULL;
        v_seq := NULL;
        CASE s_what[i]
@by id@
        END CASE;
        CONTINUE WHEN v_seq IS NULL;
        IF v_body <> e_body[x] THEN
          RETURN concat_ws(' ', 'no', i, 'differs', x);
        END IF;
        v_numbers := v_numbers || v_seq;
      END LOOP;
    END IF;
    IF cardinality(v_numbers) = s_to[i] - s_from[i] + 1 THEN
      v_out := v_out || ' A' || array_to_string(v_numbers, ',');
    ELSE
      v_missing := true;
    END IF;
  END LOOP;
  RETURN CASE WHEN v_appends > 0 AND NOT v_missing THEN v_out END;
END
