"""PostgreSQL numbers and chains the audit rows, one writer at a time, and refuses to change or remove any."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION visa_auth_audit_digest(e visa_auth_auditevent) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256(e.previous || convert_to(jsonb_build_array(
    e.seq, extract(epoch FROM e.at), e.actor_id, e.actor_name, e.action, e.target, e.because, e.detail)::text, 'UTF8'))
$$;

CREATE FUNCTION visa_auth_audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Held to the end of the transaction: the next writer sees this row or none.
  PERFORM pg_advisory_xact_lock(hashtext('visa_auth_audit'));
  SELECT seq + 1, digest INTO NEW.seq, NEW.previous FROM visa_auth_auditevent ORDER BY seq DESC LIMIT 1;
  NEW.seq := coalesce(NEW.seq, 1);
  NEW.previous := coalesce(NEW.previous, ''::bytea);
  NEW.digest := visa_auth_audit_digest(NEW);
  RETURN NEW;
END $$;
CREATE TRIGGER audit_chain BEFORE INSERT ON visa_auth_auditevent
  FOR EACH ROW EXECUTE FUNCTION visa_auth_audit_chain();

CREATE FUNCTION visa_auth_audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit trail is append-only';
END $$;
CREATE TRIGGER audit_keep_rows BEFORE UPDATE OR DELETE ON visa_auth_auditevent
  FOR EACH STATEMENT EXECUTE FUNCTION visa_auth_audit_keep();
CREATE TRIGGER audit_keep_table BEFORE TRUNCATE ON visa_auth_auditevent
  FOR EACH STATEMENT EXECUTE FUNCTION visa_auth_audit_keep();

CREATE FUNCTION visa_auth_audit_broken() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT min(seq) FROM (
    SELECT e.seq, e.digest IS DISTINCT FROM visa_auth_audit_digest(e)
      OR e.previous IS DISTINCT FROM coalesce(lag(e.digest) OVER w, ''::bytea)
      OR e.seq IS DISTINCT FROM coalesce(lag(e.seq) OVER w, 0) + 1 AS broken
    FROM visa_auth_auditevent e WINDOW w AS (ORDER BY e.seq)
  ) links WHERE broken
$$;
"""
BACKWARD = """
DROP TRIGGER audit_keep_rows ON visa_auth_auditevent;
DROP TRIGGER audit_keep_table ON visa_auth_auditevent;
DROP TRIGGER audit_chain ON visa_auth_auditevent;
DROP FUNCTION visa_auth_audit_broken(), visa_auth_audit_keep(), visa_auth_audit_chain(),
  visa_auth_audit_digest(visa_auth_auditevent);
"""


class Migration(migrations.Migration):
    dependencies = [("visa_auth", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
