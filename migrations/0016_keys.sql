-- Keys of the secrets file, by name: who knows them, and which are over. All times are process time.

-- Running processes. Who was not seen for a while is gone.
CREATE TABLE key_holders (
    process UUID NOT NULL PRIMARY KEY,
    -- Machine and process, for people.
    place TEXT NOT NULL,
    -- Names with a space between: of all keys it has, and of those it uses for new things.
    known TEXT NOT NULL,
    used TEXT NOT NULL,
    seen_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

-- When a process was last seen using a key for new things, whatever became of the process.
CREATE TABLE key_uses (
    id TEXT NOT NULL PRIMARY KEY,
    used_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

-- Keys that are over. What is written under an encryption key could never be read; a signing key is one that no process
-- verifies by, even where its file still holds it.
CREATE TABLE retired_keys (
    id TEXT NOT NULL PRIMARY KEY,
    retired_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;

-- A process that has not heard of it is refused.
/*postgres:
CREATE FUNCTION refuse_retired_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM retired_keys WHERE id = NEW.key_id) THEN
        RAISE EXCEPTION 'the key % is retired', NEW.key_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION refuse_retired_previous_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.previous_key_id IS NOT NULL AND EXISTS (SELECT 1 FROM retired_keys WHERE id = NEW.previous_key_id) THEN
        RAISE EXCEPTION 'the key % is retired', NEW.previous_key_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER bank_accounts_key_lives BEFORE INSERT OR UPDATE OF key_id ON bank_accounts
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER webhooks_key_lives BEFORE INSERT OR UPDATE OF key_id ON webhooks
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER webhooks_previous_key_lives BEFORE INSERT OR UPDATE OF previous_key_id ON webhooks
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_previous_key();
CREATE TRIGGER second_factors_key_lives BEFORE INSERT OR UPDATE OF key_id ON second_factors
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER outgoing_mail_key_lives BEFORE INSERT OR UPDATE OF key_id ON outgoing_mail
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER retired_keys_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON retired_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
*/
/*sqlite:
CREATE TRIGGER bank_accounts_key_lives BEFORE INSERT ON bank_accounts
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER bank_accounts_new_key_lives BEFORE UPDATE OF key_id ON bank_accounts
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER webhooks_key_lives BEFORE INSERT ON webhooks
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER webhooks_new_key_lives BEFORE UPDATE OF key_id ON webhooks
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER webhooks_previous_key_lives BEFORE INSERT ON webhooks
    WHEN NEW.previous_key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER webhooks_new_previous_key_lives BEFORE UPDATE OF previous_key_id ON webhooks
    WHEN NEW.previous_key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER second_factors_key_lives BEFORE INSERT ON second_factors
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER second_factors_new_key_lives BEFORE UPDATE OF key_id ON second_factors
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER outgoing_mail_key_lives BEFORE INSERT ON outgoing_mail
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER outgoing_mail_new_key_lives BEFORE UPDATE OF key_id ON outgoing_mail
    WHEN NEW.key_id IN (SELECT id FROM retired_keys) BEGIN SELECT RAISE(ABORT, 'the key is retired'); END;
CREATE TRIGGER retired_keys_stay BEFORE DELETE ON retired_keys
    BEGIN SELECT RAISE(ABORT, 'retired keys stay retired'); END;
CREATE TRIGGER retired_keys_stay_the_same BEFORE UPDATE ON retired_keys
    BEGIN SELECT RAISE(ABORT, 'retired keys stay retired'); END;
*/
